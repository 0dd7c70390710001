"""Scenarios: what is put in, and what people must be told of it: causes, places, pages and closes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collector.diagnosis.incident import Cause, Incident
from tests.e2e.paging import Call, quiet
from tests.lab.province.faults import Faults
from tests.lab.province.plan import CENTRE
from tests.lab.province.raising import Province, eventually

PATIENCE_SECONDS = 25.0
"""How long a page or a close may take before the scenario has failed."""
SETTLED_SECONDS = 3.0
"""So long nothing more may come."""


@dataclass(frozen=True, slots=True)
class Page:
    """One incident that must be, and be told of once."""

    cause: Cause
    about: str = ""
    """A carrier, system, area, or site/line: what the incident has as its key or carrier."""
    sites: frozenset[str] | None = None
    """Exactly these, and maybe the data centre, whose own lines are among the broken ones; None
    where the cause is about no site."""
    receiver: str = "oncall"

    def fits(self, incident: Incident) -> bool:
        """Whether an incident is this one."""
        about = {incident.key, incident.carrier, incident.system, incident.area, incident.line, ""}
        return (
            incident.cause == self.cause
            and self.about in about
            and self.sites in {None, frozenset(incident.sites) - {CENTRE}}
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, at one place or several, and the pages that are due for it."""

    fault: str
    where: tuple[str, ...] = ("",)
    over: float = 0.0
    """Seconds from the first place to the last one, and so again when it is healed."""
    pages: tuple[Page, ...] = ()
    heals_over: float | None = None
    """Seconds of the healing, where it is another time."""
    heals: bool = False
    """Whether it is taken away here, not put in."""
    ends: tuple[Page, ...] = ()
    """The pages that are closed by it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, step after step; all is healed in the end, in the reverse order."""

    name: str
    steps: tuple[Step, ...]
    lasts: float = SETTLED_SECONDS
    """Seconds that pass after the last page before all is healed."""


@dataclass(slots=True)
class Told:
    """What came of a scenario."""

    name: str
    opened: list[tuple[str, float, float]] = field(default_factory=list)
    """Causes, and seconds from the last place of the fault to the decision and to the webhook."""
    closed: list[float] = field(default_factory=list)
    """Seconds from the last place healed to the last webhook."""

    def row(self) -> str:
        """Return it as a row of a table."""
        opened = ", ".join(
            f"{cause} {decided:.1f} {told:.1f}" for cause, decided, told in self.opened
        )
        closed = ", ".join(f"{seconds:.1f}" for seconds in self.closed)
        return f"{self.name:<72} | {opened or 'no page':<60} | {closed}"


class Play:
    """One scenario on a province that is well."""

    def __init__(self, here: Province, scenario: Scenario) -> None:
        self._here = here
        self._scenario = scenario
        self._faults = Faults(here)
        self._before = {incident.id for incident in here.incidents()}
        self._called = len(here.pager.calls)
        self.told = Told(scenario.name)

    async def run(self) -> Told:
        """Do it all; AssertionError with what was said instead."""
        expected: list[Page] = []
        ever: list[Page] = []
        try:
            for step in self._scenario.steps:
                do = self._faults.heal if step.heals else self._faults.inject
                began = await self._each(do, step.fault, step.where, step.over)
                expected = [page for page in expected if page not in step.ends] + [*step.pages]
                ever += step.pages
                await self._paged(expected, step.pages, began)
            await quiet(self._scenario.lasts)
            self._hold(expected, ever)
        finally:
            for step in reversed(self._scenario.steps):
                over = step.over if step.heals_over is None else step.heals_over
                there = [at for at in step.where[::-1] if (step.fault, at) in self._faults.there]
                healed = await self._each(self._faults.heal, step.fault, there, over)
        await self._closed(ever, healed)
        return self.told

    async def _each(
        self, do: Callable[[str, str], None], fault: str, where: Sequence[str], over: float
    ) -> float:
        """Do it at each place in turn; return when the last one was due."""
        began = at = time.monotonic()
        for number, place in enumerate(where):
            due = began + over * number / max(1, len(where) - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic()
            await asyncio.to_thread(do, fault, place)
        return at

    def _calls(self) -> list[Call]:
        return [call for call in self._here.pager.calls[self._called :] if "id" in call.labels]

    def _new(self) -> list[Incident]:
        return [one for one in self._here.incidents() if one.id not in self._before]

    def _found(self, expected: Sequence[Page]) -> dict[str, Page] | None:
        """Return the incident of each page; None while they are not exactly these."""
        there = [one for one in self._new() if one.closed_at is None]
        found: dict[str, Page] = {}
        for page in expected:
            fitting = [one.id for one in there if page.fits(one) and one.id not in found]
            if not fitting:
                return None
            found[fitting[0]] = page
        return found if len(found) == len(there) else None

    async def _paged(self, expected: Sequence[Page], due: Sequence[Page], began: float) -> None:
        def paged() -> bool:
            found = self._found(expected)
            if found is None:
                return False
            told = {(call.labels["id"], call.receiver) for call in self._calls()}
            return all((id_, page.receiver) in told for id_, page in found.items())

        try:
            await eventually(paged, seconds=PATIENCE_SECONDS, what="the pages")
        except AssertionError as exc:
            raise AssertionError(self._said(expected)) from exc
        found = self._found(expected) or {}
        decided = {one.id: one.opened_at - time.time() + time.monotonic() for one in self._new()}
        for id_, page in found.items():
            if any(page is one for one in due):
                told = next(call.at for call in self._calls() if call.labels["id"] == id_)
                self.told.opened.append((page.cause, decided[id_] - began, told - began))

    def _hold(self, expected: Sequence[Page], ever: Sequence[Page]) -> None:
        found = self._found(expected)
        assert found is not None, self._said(expected)
        fired = [call for call in self._calls() if call.status == "firing"]
        there = [(call.labels["id"], call.receiver) for call in fired if call.labels["id"] in found]
        assert sorted(there) == sorted((id_, page.receiver) for id_, page in found.items())
        assert len(fired) == len(ever), self._said(expected)

    async def _closed(self, expected: Sequence[Page], healed: float) -> None:
        def closed() -> bool:
            return len([c for c in self._calls() if c.status == "resolved"]) >= len(expected)

        try:
            await eventually(closed, seconds=2 * PATIENCE_SECONDS, what="the closes")
        except AssertionError as exc:
            raise AssertionError(self._said(expected)) from exc
        self.told.closed = [c.at - healed for c in self._calls() if c.status == "resolved"]
        await self._here.well()
        statuses: dict[str, list[str]] = {}
        for call in self._calls():
            statuses.setdefault(call.labels["id"], []).append(call.status)
        assert len(statuses) == len(expected), self._said(expected)
        assert all(s == ["firing", "resolved"] for s in statuses.values()), self._said(expected)
        assert len(self._new()) == len(expected), self._said(expected)

    def _said(self, expected: Sequence[Page]) -> str:
        incidents = [
            f"{one.id} {one.cause} key={one.key!r} carrier={one.carrier!r} system={one.system!r}"
            f" line={one.line!r} area={one.area!r} sites={one.sites} {one.severity}"
            f" flapping={one.flapping} closed={one.closed_at is not None} facts={one.facts}"
            f" life={[(step.kind, step.cause, step.sites) for step in one.life]}"
            for one in self._new()
        ]
        calls = [
            (call.receiver, call.status, call.labels["id"], call.annotations.get("cause"))
            for call in self._calls()
        ]
        parts = [
            f"expected {[(page.cause, page.about, sorted(page.sites or ())) for page in expected]}",
            *incidents,
            f"called {calls}",
            *self._here.failing(),
        ]
        return "\n  ".join(parts)
