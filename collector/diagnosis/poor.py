"""Poor: what works badly, as few causes as explain it. Pure.

`poor` says what is poor now, `good_since` when a thing that was is good again. In between it is
neither: while a line is down, its PC silent, or after a restart, nobody knows how good it is, so
nothing opens and nothing closes.

- `line_degraded`: most of what is measured over a line is poor. Many lines of one carrier at once
  (MANY_LINES of them, or a fifth and SOME_SITES at least) are one finding, of the carrier; lines
  whose carrier is not known are taken together as if one ran them.
- `vc_degraded`: the way to a conference bridge is poor. From a fifth of the sites on it is one
  finding, of the bridge.
- `system_slow`: a system is slow as seen from a fifth of the sites. From fewer it is nobody's
  fault that could be named.
- What a lower layer explains is no finding of its own: with a poor LAN nothing behind it is judged,
  with a poor line neither the conference nor the pages that go over it, and those sites do not count
  when shares are taken.
- It pages while a phase with a profile of its own is on. On other days, and where the system is
  external, it is a ticket: what is slow still works.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from msgspec import Struct

from collector.diagnosis.incident import Cause, Severity
from collector.diagnosis.poor_words import carrier_of, line_name, tell
from collector.inventory.model import Scope, Series
from collector.state.fleet import Fleet
from collector.state.meters import Meter
from collector.state.quality import About, Subject, judged

SOME_SITES = 3
MANY_LINES = 10
MANY_SHARE = 0.2
MOST_TOLD = 3
ABOVE_LINES: tuple[About, ...] = ("conference", "web")


class Poor(Struct, frozen=True, kw_only=True):
    """How one subject is poor."""

    site: str
    since: float


class PoorFinding(Struct, frozen=True, kw_only=True):
    """One cause. A pure value: two looks at the same state find equal ones."""

    cause: Cause
    key: str
    """Unique within its cause: a carrier, a system, or the subject's name."""
    scope: Scope = "site"
    severity: Severity
    units: Mapping[str, Poor]
    """By the names of their subjects. It is over when all of them are good."""
    covers: frozenset[str] = frozenset()
    """Subjects that are poor because of it."""
    carrier: str = ""
    line: str = ""
    system: str = ""
    owner: str = ""
    rule: str
    facts: Mapping[str, str]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites it is about, each once, in order."""
        return tuple(sorted({unit.site for unit in self.units.values()}))

    @property
    def since(self) -> float:
        """When the trouble began at the place itself."""
        return min(unit.since for unit in self.units.values())


def poor(fleet: Fleet, now: float) -> list[PoorFinding]:
    """Return what works badly now."""
    return _Look(fleet, now).findings() if fleet.quality.poor else []


def is_poor(fleet: Fleet, name: str) -> bool:
    """Whether a subject is poor by itself, told or explained by something else."""
    subject = fleet.quality.named.get(name)
    return subject is not None and judged(subject.about, _up(fleet, subject).values()) is False


def good_since(fleet: Fleet, name: str) -> float | None:
    """Return when a subject became good; None while it is poor or nobody knows.

    A subject that is not in the inventory any more (`fleet.quality.named`) has nobody who knows.
    """
    subject = fleet.quality.named.get(name)
    meters = _up(fleet, subject) if subject else {}
    if subject is None or not judged(subject.about, meters.values()):
        return None
    return max(
        meter.since or fleet.series[series].voted_at
        for series, meter in meters.items()
        if meter.sure and not meter.poor
    )


class _Look:
    """One look at a fleet's quality."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        self._fleet = fleet
        self._quality = fleet.quality
        self._inventory = fleet.inventory
        profile = self._inventory.profile_name_at(datetime.fromtimestamp(now, UTC))
        self._severity: Severity = (
            "ticket" if profile == self._inventory.default_profile else "page"
        )
        self._lan = {
            self._quality.subject_of[series].agent
            for series in self._quality.poor
            if self._quality.subject_of[series].about == "lan"
        }
        """Agents whose LAN is poor."""
        self._bad: dict[About, list[Subject]] = defaultdict(list)
        for subject in dict.fromkeys(map(self._quality.subject_of.__getitem__, self._quality.poor)):
            if subject.about != "lan" and self._state(subject) is False:
                self._bad[subject.about].append(subject)
        self._ways = {(subject.site, subject.line) for subject in self._bad["line"]}
        """Sites and lines that are poor; "" for the way a PC chooses."""
        self._poor_sites = _sites(self._bad["line"])
        self._above: dict[str, list[Subject]] = defaultdict(list)
        """By site: what a poor line explains there."""
        for about in ABOVE_LINES:
            for subject in self._bad[about]:
                if self._explained(subject):
                    self._above[subject.site].append(subject)

    def findings(self) -> list[PoorFinding]:
        """Return one finding a cause: lines first, as they explain the others."""
        return [*self._lines(), *self._conferences(), *self._systems()]

    def _state(self, subject: Subject) -> bool | None:
        """Whether a subject is good, by those of its series that no poor LAN explains."""
        return judged(subject.about, self._meters(subject).values())

    def _meters(self, subject: Subject) -> dict[Series, Meter]:
        meters = _up(self._fleet, subject)
        return {one: meter for one, meter in meters.items() if one.agent not in self._lan}

    def _lines(self) -> Iterator[PoorFinding]:
        of: dict[str, list[Subject]] = defaultdict(list)
        for subject in self._bad["line"]:
            of[self._whose(subject)].append(subject)
        for whose, lines in of.items():
            if self._is_many(whose, lines):
                yield self._line(whose, lines, "many lines are poor at once")
            else:
                for line in lines:
                    yield self._line(line.name, [line], "most of what goes over the line is poor")

    def _whose(self, line: Subject) -> str:
        """Return the carrier, or what the lines are called where that is not known."""
        return carrier_of(line, self._fleet) or self._system(line)

    def _system(self, subject: Subject) -> str:
        return self._inventory.checks[self._quality.series_of[subject][0].check].system

    def _is_many(self, whose: str, lines: Sequence[Subject]) -> bool:
        sites = _sites(lines)
        if len(sites) < SOME_SITES:
            return False
        if len(sites) >= MANY_LINES:
            return True
        known = {
            subject.site
            for subject in self._quality.together["line", ""]
            if self._whose(subject) == whose and self._state(subject) is not None
        }
        return len(sites) >= MANY_SHARE * len(known)

    def _line(self, key: str, lines: Sequence[Subject], rule: str) -> PoorFinding:
        first = lines[0]
        carrier = carrier_of(first, self._fleet)
        known = self._inventory.carriers.get(carrier)
        sites = _sites(lines)
        return self._finding(
            "line_degraded",
            key,
            lines,
            covers=[subject.name for site in sites for subject in self._above.get(site, ())],
            carrier=carrier,
            line=line_name(first, self._fleet) if len(lines) == 1 else "",
            owner=known.name if known else self._inventory.systems[self._system(first)].owner,
            rule=rule,
        )

    def _conferences(self) -> Iterator[PoorFinding]:
        for system, bad, share in self._by_system("conference"):
            groups = [(system, bad)] if _is_share(share) else [(one.name, [one]) for one in bad]
            for key, together in groups:
                yield self._finding(
                    "vc_degraded",
                    key,
                    together,
                    system=system,
                    rule="the way to the conference bridge is poor",
                    facts=_seen_from(share),
                )

    def _systems(self) -> Iterator[PoorFinding]:
        for system, bad, share in self._by_system("web"):
            if _is_share(share):
                yield self._finding(
                    "system_slow",
                    system,
                    bad,
                    system=system,
                    rule="the system is slow as seen from many sites, and their lines are good",
                    facts=_seen_from(share),
                )

    def _by_system(self, about: About) -> Iterator[tuple[str, list[Subject], tuple[int, int]]]:
        """Yield each system, what is poor there by itself, and from how many of the sites known."""
        of: dict[str, list[Subject]] = defaultdict(list)
        for subject in self._bad[about]:
            if not self._explained(subject):
                of[subject.system].append(subject)
        for system, bad in of.items():
            known = {
                subject.site
                for subject in self._quality.together[about, system]
                if not self._explained(subject) and self._state(subject) is not None
            }
            yield system, bad, (len(_sites(bad)), len(known))

    def _explained(self, subject: Subject) -> bool:
        """Whether a line is poor that it goes over: of those the PC chooses, it may be any."""
        if subject.line:
            return (subject.site, subject.line) in self._ways
        return subject.site in self._poor_sites

    def _finding(
        self,
        cause: Cause,
        key: str,
        bad: Sequence[Subject],
        *,
        rule: str,
        covers: Iterable[str] = (),
        carrier: str = "",
        line: str = "",
        system: str = "",
        owner: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> PoorFinding:
        known = self._inventory.systems.get(system)
        scope: Scope = known.scope if known else "site"
        shown = {subject: self._first(subject) for subject in bad}
        told = dict(facts or {})
        for subject, (series, meter) in list(shown.items())[:MOST_TOLD]:
            told[subject.name] = f"{series.check}: {tell(meter.read())}"
        return PoorFinding(
            cause=cause,
            key=key,
            scope=scope,
            severity="ticket" if scope == "external" else self._severity,
            units={
                subject.name: Poor(site=subject.site, since=meter.since)
                for subject, (_, meter) in shown.items()
            },
            covers=frozenset(covers),
            carrier=carrier,
            line=line,
            system=system,
            owner=known.owner if known else owner,
            rule=rule,
            facts=told,
        )

    def _first(self, subject: Subject) -> tuple[Series, Meter]:
        """Return which of its series was poor first."""
        bad = [(series, meter) for series, meter in self._meters(subject).items() if meter.poor]
        return min(bad, key=lambda one: (one[1].since, one[0].check, one[0].target))


def _up(fleet: Fleet, subject: Subject) -> dict[Series, Meter]:
    """Return the meters of those of a subject's series that are up."""
    states = ((series, fleet.series[series]) for series in fleet.quality.series_of[subject])
    return {
        series: state.meter
        for series, state in states
        if state.meter is not None and state.state == "up"
    }


def _is_share(share: tuple[int, int]) -> bool:
    count, of = share
    return count >= SOME_SITES and count >= MANY_SHARE * of


def _seen_from(share: tuple[int, int]) -> dict[str, str]:
    return {"seen from": f"{share[0]} of {share[1]} sites"}


def _sites(subjects: Iterable[Subject]) -> AbstractSet[str]:
    return {subject.site for subject in subjects}
