"""Quality: which of the series that are up are poor, and what each of them speaks about. Pure.

Only Fleet feeds it, with attempts that count. What is down or unknown is not judged: its meter rests.
Nothing here survives a restart: what is usual is learned anew, and until then nothing is called good.

What a series speaks about, its subject:

- `line`: echoes of the layers line, internet and tslcd to targets outside the office. A series bound
  to a line speaks of that line; one that is not, of the way its agent's PC takes.
- `lan`: echoes of the layer gateway.
- `conference`: media tests, and echoes to systems that have media tests.
- `web`: HTTP checks of systems that are not a site's own.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from agent.probes import PROBES
from collector.inventory.limits import Limits
from collector.inventory.model import CheckInfo, Inventory, Series
from collector.state.meters import Habit, Meter
from collector.state.path_meters import EchoMeter, MediaMeter
from collector.state.states import SeriesState

ECHO_COUNT = 3
"""Of agents whose configuration is not known here."""
ECHOES = Habit(need=8, of=12, spare=1, clear=24)
"""At one attempt in 5 s: poor after 40 s, good after 2 min."""
PAGES = Habit(need=4, of=6, spare=0, clear=6)
"""At one attempt in 30 s: 2 min, 3 min."""
TESTS = Habit(need=2, of=3, spare=0, clear=2)

LINE_LAYERS = frozenset({"line", "internet", "tslcd"})

About = Literal["line", "lan", "conference", "web"]
Group = Literal["lan", "internet", "tslcd", "conference", "web"]
"""A field of Limits."""


class Subject(Struct, frozen=True):
    """What several series speak about together."""

    about: About
    site: str
    """Where it is seen from."""
    agent: str = ""
    """Of a LAN, and of a line that the PC chooses; "" for a line that has a name."""
    line: str = ""
    system: str = ""
    group: Group = "internet"

    @property
    def name(self) -> str:
        """Return a short text that tells it from all others: line/05293/vnpt."""
        parts = (self.about, self.system, self.agent or self.site, self.line)
        return "/".join(part for part in parts if part)


class Quality:
    """The meters of a fleet's series. `poor` holds those that are poor now, oldest first."""

    def __init__(self) -> None:
        self.poor: dict[Series, Meter] = {}
        self.subject_of: dict[Series, Subject] = {}
        self.series_of: dict[Subject, tuple[Series, ...]] = {}
        self.named: dict[str, Subject] = {}
        self.together: dict[tuple[About, str], list[Subject]] = {}
        """By what they are about, and the system; lines are of none."""
        self._limits = Limits()

    def reload(self, inventory: Inventory, states: Mapping[Series, SeriesState]) -> None:
        """Give every series that tells of quality its meter; those it had already go on."""
        conferences = {one.system for one in inventory.checks.values() if one.kind == "media"}
        echoes = _echoes(inventory)
        self.subject_of = {}
        of: dict[Subject, list[Series]] = {}
        for series, state in states.items():
            subject = _subject(series, inventory, conferences)
            if subject is None:
                state.meter = None
                continue
            self.subject_of[series] = subject
            of.setdefault(subject, []).append(series)
            kind = inventory.checks[series.check].kind
            count = echoes.get((series.agent, series.check), ECHO_COUNT)
            state.meter = _meter(kind, getattr(self._limits, subject.group), count, state.meter)
        self.series_of = {subject: tuple(series) for subject, series in of.items()}
        self.named = {subject.name: subject for subject in of}
        self.together = {}
        for subject in of:
            self.together.setdefault((subject.about, subject.system), []).append(subject)
        self.poor = {
            series: meter
            for series in self.poor
            if series in states and (meter := states[series].meter) is not None and meter.poor
        }

    def use(self, limits: Limits, states: Mapping[Series, SeriesState]) -> None:
        """Judge by these limits from now on."""
        if limits == self._limits:
            return
        self._limits = limits
        for series, subject in self.subject_of.items():
            meter = states[series].meter
            if meter is not None:
                meter.use(getattr(limits, subject.group))

    def note(self, series: Series, meter: Meter) -> None:
        """Take down that a meter has changed its mind."""
        if meter.poor:
            self.poor[series] = meter
        else:
            self.poor.pop(series, None)

    def rest(self, series: Series, meter: Meter) -> None:
        """Let the meter of a series rest whose state has changed."""
        meter.rest()
        self.poor.pop(series, None)


def judged(about: About, meters: Iterable[Meter]) -> bool | None:
    """Return whether a subject is good by the meters of those of its series that are up, or None.

    A line is poor when most of its series are: one anchor may be far away, or have trouble of its
    own. Anything else is poor when any of its series is.
    """
    poor = good = 0
    for meter in meters:
        poor += meter.poor
        good += not meter.poor and meter.sure
    if poor and (about != "line" or poor > good):
        return False
    return True if good else None


def _subject(series: Series, inventory: Inventory, conferences: set[str]) -> Subject | None:
    check = inventory.checks[series.check]
    site, line, system = inventory.site_of_agent[series.agent], series.line, check.system
    found: Subject | None = None
    if check.expect == "unreachable":
        pass
    elif check.kind == "media" or (
        check.kind == "icmp" and system in conferences and not check.local
    ):
        found = Subject("conference", site, line=line, system=system, group="conference")
    elif check.kind == "http" and inventory.systems[system].scope != "site":
        found = Subject("web", site, line=line, system=system, group="web")
    elif check.kind == "icmp" and check.layer == "gateway":
        found = Subject("lan", site, agent=series.agent, group="lan")
    elif check.kind == "icmp" and check.layer in LINE_LAYERS and not check.local:
        group: Group = "tslcd" if _is_tslcd(series, check, site, inventory) else "internet"
        found = Subject("line", site, "" if line else series.agent, line, group=group)
    return found


def _is_tslcd(series: Series, check: CheckInfo, site: str, inventory: Inventory) -> bool:
    if not series.line:
        return check.layer == "tslcd"
    return any(
        line.name == series.line and line.kind == "tslcd" for line in inventory.lines.get(site, ())
    )


def _meter(kind: str, limits: Any, echoes: int, before: Meter | None) -> Meter:
    """Return the meter that a series had, if it is still of the kind, or a new one."""
    wanted: Meter
    if kind == "media":
        wanted = MediaMeter(habit=TESTS, limits=limits)
    elif kind == "icmp":
        wanted = EchoMeter(habit=ECHOES, limits=limits, echoes=echoes)
    else:
        wanted = Meter(habit=PAGES, limits=limits)
    if before is None or not before.like(wanted):
        return wanted
    if before.limits != limits:
        before.use(limits)
    return before


def _echoes(inventory: Inventory) -> dict[tuple[str, str], int]:
    """Return how many echoes an attempt sends, by agent and check."""
    found = {}
    for agent, config in inventory.configs.items():
        for check in config.checks:
            if check.kind == "icmp":
                params: Any = msgspec.convert(check.params, PROBES["icmp"].Params)
                found[agent, check.id] = params.count
    return found
