"""Which metric families there are: one table, from which names, types and help texts come.

The text format wants all lines of a family in one block under its HELP and TYPE, so the pages are
put together family by family.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from agent.probes import PROBES
from agent.probes.base import Probe
from agent.wire import Sample


class Family(Struct, frozen=True):
    """One block of a page."""

    name: str
    kind: Literal["gauge", "counter", "summary"]
    help: str

    @property
    def head(self) -> bytes:
        """The two lines before the samples."""
        told = self.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {self.name} {told}\n# TYPE {self.name} {self.kind}\n".encode()


SITE_UP = Family(
    "thongsuot_site_up",
    "gauge",
    "Whether any agent of the site is heard. 0 after it fell silent; absent before it was ever"
    " heard and while it is closed (its agents said bye).",
)
SITE_LAST_SEEN = Family(
    "thongsuot_site_last_seen_timestamp_seconds", "gauge", "When the site was last heard."
)
CHECK_UP = Family(
    "thongsuot_check_up",
    "gauge",
    "Whether a check succeeds, confirmed by two of its last three attempts; absent when unknown.",
)
INCIDENT = Family("thongsuot_incident", "gauge", "An open incident, 1.")
INCIDENT_INFO = Family("thongsuot_incident_info", "gauge", "An open incident in words, 1.")
INCIDENT_ESCALATED = Family(
    "thongsuot_incident_escalated",
    "gauge",
    "An open incident that was not acknowledged in time, 1: one series for each tier reached.",
)
INCIDENT_REASSIGNED = Family(
    "thongsuot_incident_reassigned",
    "gauge",
    "An open incident that is known by now to be another's than whom it was paged to, 1.",
)

SITE_INFO = Family("thongsuot_site_info", "gauge", "What is known of a site, 1.")
LINE_INFO = Family("thongsuot_line_info", "gauge", "What is known of a site's line, 1.")
CHECK_INFO = Family("thongsuot_check_info", "gauge", "What is known of a check, 1.")
DROPPED = Family(
    "thongsuot_dropped_values",
    "gauge",
    "Numbers in the newest samples that this collector does not know: an agent is newer than it.",
)

OF_AGENT = {
    name: Family(f"thongsuot_{name}", "counter" if name.endswith("_total") else "gauge", told)
    for name, told in {
        "agent_info": "What is known of an agent, 1; `carrier` is whose network it is heard from,"
        " where it cannot choose its line.",
        "agent_up": "Whether the agent is heard; absent before the first time and while closed.",
        "agent_last_seen_timestamp_seconds": "When the agent was last heard.",
        "agent_cloned": "Whether two PCs say that they are this agent.",
        "agent_config_version": "Version of the configuration in force on the agent.",
        "agent_config_refused": "Whether the agent refused the newest configuration.",
        "clock_synchronised": "Whether a time service keeps the PC's clock right.",
        "clock_offset_seconds": "The PC's wall clock less the centre's.",
        "clock_error_seconds": "How far the agent's idea of the centre's time may be off.",
        "spool_pending_batches": "Batches waiting on the agent's disk.",
        "spool_pending_bytes": "Bytes waiting on the agent's disk.",
        "spool_oldest_timestamp_seconds": "When the oldest waiting batch was sealed, by the PC's"
        " clock; absent when nothing waits.",
        "spool_failing": "Whether the agent's disk takes nothing; samples pass through memory only.",
        "spool_dropped_batches_total": "Batches given up by age or size since the spool was made.",
        "spool_damaged_records_total": "Records the agent's disk has damaged.",
        "spool_set_aside_batches_total": "Batches the collector refused for good.",
        "power_on_mains": "Whether the PC runs on mains power.",
        "power_battery_ratio": "Charge of the PC's battery.",
    }.items()
}

OF_RUNNER = (
    Family("probe_success", "gauge", "Whether the latest attempt succeeded."),
    Family("probe_duration_seconds", "gauge", "How long the latest attempt took."),
    Family("probe_all_success", "summary", "Attempts that succeeded, of all."),
    Family("probe_all_duration_seconds", "summary", "Duration of all attempts."),
    Family("probe_errors_total", "counter", "Attempts in which nothing could be measured."),
)
"""What every kind of probe has, counted by the agent's runner since the agent's boot."""


class Place(Struct, frozen=True, eq=False):
    """Where a number goes: one series of a metric for each row of labels. Known by identity."""

    family: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    """Those it has beside its row's."""
    text: str = ""
    """The same as the text format wants them after a row's."""


def _place(family: str, name: str = "", *labels: tuple[str, str]) -> Place:
    text = "".join(f',{label}="{word}"' for label, word in labels)
    return Place(family, name or family, labels, text)


_RUNNER_COUNTERS = {
    "all_success_sum": (_place("probe_all_success", "probe_all_success_sum"),),
    "all_success_count": (
        _place("probe_all_success", "probe_all_success_count"),
        _place("probe_all_duration_seconds", "probe_all_duration_seconds_count"),
    ),
    "all_duration_seconds_sum": (
        _place("probe_all_duration_seconds", "probe_all_duration_seconds_sum"),
    ),
    "errors": (_place("probe_errors_total"),),
}
_SUCCESS, _DURATION = _place("probe_success"), _place("probe_duration_seconds")


class Layout(Struct, frozen=True):
    """Where the numbers of one kind of probe go. A number without a place is dropped and counted."""

    phases: Mapping[str, Place]
    values: Mapping[str, Place]
    counters: Mapping[str, tuple[Place, ...]]
    """A total may go to several families."""


def places(sample: Sample) -> tuple[list[tuple[Place, float]], int]:
    """Return the numbers of an attempt with their places, and how many have none."""
    layout = LAYOUTS.get(sample.kind, UNKNOWN_KIND)
    found: list[tuple[Place, float]] = [
        (_SUCCESS, int(sample.failure is None)),
        (_DURATION, sample.duration),
    ]
    dropped = 0
    for numbers, known in ((sample.phases, layout.phases), (sample.values, layout.values)):
        for key, number in numbers.items():
            place = known.get(key)
            if place is None:
                dropped += 1
            else:
                found.append((place, number))
    for key, number in sample.counters.items():
        several = layout.counters.get(key, ())
        dropped += not several
        found += [(place, number) for place in several]
    return found, dropped


def _layout(probe: type[Probe]) -> Layout:
    duration = f"probe_{probe.kind}_duration_seconds"
    return Layout(
        phases={phase: _place(duration, "", ("phase", phase)) for phase in probe.phases},
        values={
            key: _place(f"probe_{row.name}", "", *labels)
            for row in probe.values
            if not row.counter
            for key, labels in row.keys().items()
        },
        counters={
            **_RUNNER_COUNTERS,
            **{row.name: (_place(f"probe_{row.name}"),) for row in probe.values if row.counter},
        },
    )


def _families_of(probe: type[Probe]) -> Iterator[Family]:
    if probe.phases:
        yield Family(
            f"probe_{probe.kind}_duration_seconds",
            "gauge",
            "Duration of the latest attempt's phases.",
        )
    for row in probe.values:
        yield Family(f"probe_{row.name}", "counter" if row.counter else "gauge", row.help)


LAYOUTS = {kind: _layout(probe) for kind, probe in PROBES.items()}
UNKNOWN_KIND = Layout(phases={}, values={}, counters=_RUNNER_COUNTERS)
"""A later agent's: only what every kind has."""

MEASURED = {
    family.name: family
    for family in (
        *OF_AGENT.values(),
        *OF_RUNNER,
        *(family for probe in PROBES.values() for family in _families_of(probe)),
    )
}
"""Everything on `/metrics` that comes in fragments, in the page's order."""
