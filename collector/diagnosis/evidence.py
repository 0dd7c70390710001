"""Evidence: what agents saw at failing edges, kept beside the incidents and found again by place.

The journal is where it comes from; here the newest of each place stay, over restarts. Taking the
same entry twice changes nothing, so the start may go through the journal again. The incidents of
the same file say from when to when.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.wire import EVIDENCE
from collector.database import Database, open_database, open_reader
from collector.diagnosis.incident import Incident
from collector.ingest.entries import NewEntry
from collector.inventory.model import Inventory, Series

KEPT_PER_SITE = 100
MOST_CHARACTERS = 16_384
"""Of all facts of one; an agent sends half of this."""
BEFORE_SECONDS, AFTER_SECONDS = 120.0, 60.0
"""How far from its incident's beginning and end evidence of it may lie."""
SHOWN = 20
ALIKE_SECONDS = 3600.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence (
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    seq INTEGER NOT NULL,
    place INTEGER NOT NULL,
    site TEXT NOT NULL,
    subject TEXT NOT NULL,
    checked TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (agent, boot, seq, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS evidence_by_site ON evidence (site, at);
CREATE INDEX IF NOT EXISTS evidence_by_check ON evidence (checked, at);
"""
_TRIM = (
    "DELETE FROM evidence WHERE site = ? AND at <"
    " (SELECT at FROM evidence WHERE site = ? ORDER BY at DESC LIMIT 1 OFFSET ?)"
)


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one agent saw of one failure. Kept as JSON: fields may be added, never change meaning."""

    agent: str
    boot: str
    seq: int
    place: int
    """Index in its batch: the four together are its identity."""
    site: str
    """Where it was seen from."""
    subject: str
    """The place it speaks about: another one where a data centre watches web sites."""
    check: str
    target: str
    line: str = ""
    at: float
    """Centre's UTC seconds."""
    trusted: bool = True
    """Whether anybody vouches for the time."""
    failure: str = ""
    detail: str = ""
    facts: dict[str, str] = {}

    @property
    def id(self) -> str:
        """Name it among those of its agent."""
        return f"{self.boot}.{self.seq}.{self.place}"

    @property
    def series(self) -> Series:
        """Return what failed."""
        return Series(self.agent, self.check, self.target, self.line)


class Dossier(Struct, frozen=True):
    """Everything that a page about one check of one agent shows."""

    evidence: list[Evidence]
    """The newest first."""
    alike: list[Evidence]
    """Of the same check, seen from elsewhere at about the time of the newest."""
    incidents: list[Incident]
    """That were open at these times, at these places."""


def found_in(entry: NewEntry, inventory: Inventory) -> Iterator[Evidence]:
    """Yield the evidence that a journalled batch holds; what is in quarantine is none."""
    for place, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
        if sample.kind != EVIDENCE or place in entry.quarantined:
            continue
        site = inventory.site_of_agent.get(entry.agent, entry.agent)
        series = Series(entry.agent, sample.check, sample.target, sample.line)
        yield Evidence(
            agent=entry.agent,
            boot=entry.boot,
            seq=entry.seq,
            place=place,
            site=site,
            subject=inventory.subjects.get(series, site),
            check=sample.check,
            target=sample.target,
            line=sample.line,
            at=at,
            trusted=entry.trusted,
            failure=sample.failure or "",
            detail=sample.detail,
            facts=_bounded(sample.facts),
        )


def _bounded(facts: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    left = MOST_CHARACTERS
    for name, text in facts.items():
        left -= len(name) + len(text)
        if left >= 0:
            kept[name] = text
    return kept


class EvidenceStore:
    """Writes to one SQLite file, from any thread. sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path) -> None:
        # Not fsynced: what a power cut takes is read from the journal again.
        self._database = open_database(path, SCHEMA, durable=False)
        self._one_at_a_time = threading.Lock()
        rows = self._database.execute("SELECT agent, checked, max(at) FROM evidence GROUP BY 1, 2")
        self._newest: dict[tuple[str, str], float] = {(a, check): at for a, check, at in rows}

    @property
    def newest(self) -> Mapping[tuple[str, str], float]:
        """When the newest evidence is from, by agent and check."""
        return self._newest

    def save(self, found: Iterable[Evidence]) -> None:
        """Keep these, and of each place's no more than the newest."""
        found = list(found)
        rows = [
            (
                *(one.agent, one.boot, one.seq, one.place),
                *(one.site, one.subject, one.check, one.at),
                msgspec.json.encode(one),
            )
            for one in found
        ]
        sites = [(site, site, KEPT_PER_SITE - 1) for site in dict.fromkeys(row[4] for row in rows)]
        with self._one_at_a_time, self._database.transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._database.executemany(_TRIM, sites)
        for one in found:
            key = (one.agent, one.check)
            self._newest[key] = max(one.at, self._newest.get(key, one.at))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


_evidence = msgspec.json.Decoder(Evidence)
_incidents = msgspec.json.Decoder(Incident)


def read_dossier(path: Path, agent: str, check: str) -> Dossier:
    """Return what is kept about one check of one agent. sqlite3.Error if it cannot be read."""
    with closing(open_reader(path)) as database:
        own = database.execute(
            "SELECT body FROM evidence WHERE agent = ? AND checked = ? ORDER BY at DESC LIMIT ?",
            (agent, check, SHOWN),
        )
        evidence = [_evidence.decode(body) for (body,) in own]
        if not evidence:
            return Dossier([], [], [])
        others = database.execute(
            "SELECT body FROM evidence WHERE checked = ? AND agent != ? AND at BETWEEN ? AND ?"
            " ORDER BY at DESC LIMIT ?",
            (check, agent, evidence[0].at - ALIKE_SECONDS, evidence[0].at + ALIKE_SECONDS, SHOWN),
        )
        alike = [_evidence.decode(body) for (body,) in others]
        sites = {site for one in evidence for site in (one.site, one.subject)}
        begin = min(one.at for one in evidence) - AFTER_SECONDS
        return Dossier(evidence, alike, _read_incidents(database, sites, begin, float("inf")))


def read_site(path: Path, site: str, begin: float, end: float) -> Dossier:
    """Return what was seen from one place, or about it, in a time. sqlite3.Error as above."""
    with closing(open_reader(path)) as database:
        rows = database.execute(
            "SELECT body FROM evidence WHERE (site = ? OR subject = ?) AND at BETWEEN ? AND ?"
            " ORDER BY at DESC",
            (site, site, begin, end),
        )
        evidence = [_evidence.decode(body) for (body,) in rows]
        return Dossier(evidence, [], _read_incidents(database, {site}, begin, end))


def _read_incidents(
    database: Database, sites: set[str], begin: float, end: float
) -> list[Incident]:
    rows = database.execute(
        "SELECT body FROM incidents WHERE closed_at IS NULL OR closed_at >= ? ORDER BY number",
        (begin,),
    )
    found = (_incidents.decode(body) for (body,) in rows)
    return [one for one in found if one.since <= end and sites & {*one.sites}]


def incident_of(one: Evidence, incidents: Iterable[Incident]) -> Incident | None:
    """Return the incident that evidence belongs to: its own check's, else its place's silence."""
    around = [
        incident
        for incident in incidents
        if incident.since - BEFORE_SECONDS <= one.at
        and (incident.closed_at is None or one.at <= incident.closed_at + AFTER_SECONDS)
    ]
    for incident in around:
        if any(member.series == one.series for member in incident.members):
            return incident
    return next((i for i in around if i.cause == "site_silent" and one.site in i.sites), None)
