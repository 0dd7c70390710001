"""Own: how the collector itself fares. The one place where prometheus_client renders."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from collector.state.ledger import SiteLedger

COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Own:
    """The collector's metrics; each part is handed the ones it counts."""

    def __init__(self) -> None:
        # A `_created` companion for every counter is a series that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.pushes = self._counter("ingest_pushes", "Pushes answered with 200.")
        self.refused = Counter(
            "thongsuot_ingest_refused",
            "Pushes refused, by the refusal's code.",
            ["code"],
            registry=self.registry,
        )
        self.received_bytes = self._counter("ingest_received_bytes", "Bodies of pushes, as sent.")
        self.batches = self._counter("ingest_batches", "Batches journalled.")
        self.duplicates = self._counter("ingest_duplicates", "Batches the journal had already.")
        self.conflicts = self._counter(
            "ingest_conflicts", "Batches with an identity that another batch has: a copied disk."
        )
        self.samples = self._counter("ingest_samples", "Samples journalled.")
        self.untrusted = self._counter(
            "ingest_untrusted_samples", "Samples whose time nobody vouches for."
        )
        self.quarantined = self._counter(
            "ingest_quarantined_samples", "Samples ahead of the centre's clock."
        )
        self.unknown_series = self._counter(
            "ingest_unknown_series_samples", "Samples of series the inventory does not know."
        )
        self.journal_bytes = self._gauge("journal_bytes", "Size of the journal on disk.")
        self.journal_commit_seconds = Histogram(
            "thongsuot_journal_commit_seconds",
            "Time of one group commit, with its fsync.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self.journal_checked = self._counter(
            "journal_checked_entries", "Entries whose place in the chain of hashes was looked at."
        )
        self.journal_broken = self._counter(
            "journal_broken_entries", "Those of them that are not what was written, or missing."
        )
        self.journal_unread = self._gauge(
            "journal_unread_entries",
            "Entries a reader of the journal has yet to take, or may have to take again.",
            "reader",
        )
        self.journal_reader_lost = self._gauge(
            "journal_reader_lost_entries",
            "Entries removed, since the journal began, before a reader had taken them.",
            "reader",
        )
        self.rollup_behind = self._gauge(
            "rollup_behind_entries", "Entries of the journal that the rollups do not count yet."
        )
        day = "over the last day, by the site that measures"
        self.ledger_expected = self._gauge(
            "ledger_expected_runs", f"Runs that were due {day}.", "site"
        )
        self.ledger_stored = self._gauge(
            "ledger_stored_runs", f"Of the runs that were due, those stored {day}.", "site"
        )
        self.ledger_pending = self._gauge(
            "ledger_pending_batches", "Batches that wait at the site's agents.", "site"
        )
        self.ledger_unaccounted = self._gauge(
            "ledger_unaccounted_batches", f"Batches whose fate nobody knows {day}.", "site"
        )
        self.ledger_doubled = self._gauge(
            "ledger_doubled_samples", f"What is stored twice {day}.", "site"
        )
        self.loop_lag_seconds = Histogram(
            "thongsuot_loop_lag_seconds",
            "How late the event loop wakes the tick: what everything else waits for.",
            buckets=LAG_SECONDS,
            registry=self.registry,
        )
        self.inventory_loaded = self._gauge(
            "inventory_last_success_timestamp_seconds", "When the inventory was last read."
        )
        self.inventory_refused = self._gauge(
            "inventory_refused", "Whether the province folder on disk is refused as it is now."
        )
        self.bridge_active_slots = self._gauge(
            "bridge_active_slots",
            "Runs that load a trunk now, with the guard after each.",
            "trunk",
        )
        self.bridge_load_bits_per_second = self._gauge(
            "bridge_load_bits_per_second", "What those runs load one way.", "trunk"
        )
        self.bridge_waiting_runs = self._gauge(
            "bridge_waiting_runs", "Runs that are due and get no slot, by the reason.", "reason"
        )
        self._of_remote_write()
        ProcessCollector(registry=self.registry)

    def _of_remote_write(self) -> None:
        self.remote_requests = self._counter(
            "remote_write_requests",
            "Requests by the receiver's code; 0: no answer.",
            "receiver",
            "code",
        )
        self.remote_sent = self._counter(
            "remote_write_samples", "Samples the receiver took.", "receiver", "lane"
        )
        self.remote_dead = self._counter(
            "remote_write_dead_letter_samples",
            "Samples the receiver refused while it took others, by its code.",
            "receiver",
            "code",
        )
        self.remote_withheld = self._counter(
            "remote_write_withheld_samples",
            "Samples that were never sent, by the reason: too_old (export them as OpenMetrics),"
            " ahead, untrusted, unknown_series.",
            "receiver",
            "reason",
        )
        self.remote_lost = self._gauge(
            "remote_write_lost_batches",
            "Batches that the journal removed before they were sent and safe.",
            "receiver",
        )
        self.remote_pending = self._gauge(
            "remote_write_pending_batches",
            "Batches of the journal of which something may still have to be sent.",
            "receiver",
            "lane",
        )
        self.remote_oldest = self._gauge(
            "remote_write_oldest_unsent_timestamp_seconds",
            "Time of the oldest sample in hand; absent when nothing waits.",
            "receiver",
            "lane",
        )

    def show_ledgers(self, sites: Iterable[SiteLedger]) -> None:
        """Show the ledger of the sites there are."""
        of: tuple[tuple[Gauge, Callable[[SiteLedger], int]], ...] = (
            (self.ledger_expected, lambda one: one.expected),
            (self.ledger_stored, lambda one: one.stored),
            (self.ledger_pending, lambda one: one.pending),
            (self.ledger_unaccounted, lambda one: one.unaccounted),
            (self.ledger_doubled, lambda one: one.doubled),
        )
        sites = list(sites)
        for gauge, number in of:
            gauge.clear()
            for one in sites:
                gauge.labels(one.site).set(number(one))

    def page(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"thongsuot_{name}", told, labels, registry=self.registry)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"thongsuot_{name}", told, labels, registry=self.registry)
