"""Ledger: of each agent and check, what was to be measured, and what became of it. Pure.

expected: runs that the configurations in force at the agent ask for in the window · made: attempts
by the agent's own count, re-probes included, from the first to the last that is stored · stored:
attempts in the journal · apart: of these, of no time that can be counted · lost: made, and not
stored · doubled: stored more often than made · missing: expected runs that belong to no minute,
each under its cause.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from agent.probes import BY_SLOT
from agent.wire import Tally
from collector.state.accounts import Account, account
from collector.state.gaps import Cause, Gap, Life, find_gaps
from collector.state.stretch import Stretch

HOUR = 3600.0


class Planned(Struct, frozen=True):
    """One run of a configuration: a check on a target over a line."""

    check: str
    target: str
    line: str
    kind: str
    interval: float


class Counted(Struct, frozen=True, kw_only=True):
    """One series' attempts of one boot in the window; fields as in rollup.Count."""

    check: str
    target: str
    line: str
    kind: str
    boot: str
    first: int
    last: int
    stored: int
    runs: int
    apart: int
    doubled: int
    elsewhere: int = 0
    """Attempts before the last that belong to hours outside the window, though later ones do not:
    the centre's clock was set."""


class CheckLedger(Struct, kw_only=True):
    """One check at one agent, or at all agents of a site."""

    check: str
    expected: int | None
    """None where nothing expects them by the clock: runs in slots, or a configuration that the
    centre did not give."""
    made: int = 0
    stored: int = 0
    runs: int = 0
    apart: int = 0
    lost: int = 0
    doubled: int = 0
    missing: dict[Cause, int] = {}

    @property
    def complete(self) -> float | None:
        """Return the share of the expected runs that are stored, at most 1."""
        if not self.expected:
            return None
        return 1.0 - sum(self.missing.values()) / self.expected


class AgentLedger(Struct, kw_only=True):
    """One agent over one window, UTC seconds."""

    agent: str
    begin: float
    end: float
    accounts: list[Account]
    """Of the boots that were running in the window, or have something left; oldest first."""
    repeated: int
    """Batches that were counted twice."""
    gaps: list[Gap]
    checks: list[CheckLedger]

    @property
    def unaccounted(self) -> int:
        """Batches that are neither stored, held nor lost for a reason that is known."""
        return sum(one.unaccounted for one in self.accounts)

    @property
    def doubled(self) -> int:
        """What is stored twice, batches and attempts."""
        return self.repeated + sum(one.doubled for one in self.checks)


class SiteLedger(Struct, kw_only=True):
    """One site over one window: its agents, and its checks whoever runs them."""

    site: str
    begin: float
    end: float
    agents: list[AgentLedger]
    checks: list[CheckLedger]

    @property
    def expected(self) -> int:
        """Runs that the clock asked for."""
        return sum(one.expected or 0 for one in self.checks)

    @property
    def missing(self) -> dict[Cause, int]:
        """Of these, those that belong to no minute, by cause; most first."""
        sums: dict[Cause, int] = {}
        for one in self.checks:
            for cause, number in one.missing.items():
                sums[cause] = sums.get(cause, 0) + number
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    @property
    def stored(self) -> int:
        """Of the expected runs, those that are stored."""
        return self.expected - sum(self.missing.values())

    @property
    def complete(self) -> float | None:
        """Return the share that is stored; None where nothing was expected."""
        return self.stored / self.expected if self.expected else None

    @property
    def pending(self) -> int:
        """Batches that still wait at the agents."""
        return sum(one.pending for agent in self.agents for one in agent.accounts)

    @property
    def unaccounted(self) -> int:
        """Batches whose fate nobody knows."""
        return sum(agent.unaccounted for agent in self.agents)

    @property
    def doubled(self) -> int:
        """What is stored twice."""
        return sum(agent.doubled for agent in self.agents)


def site_ledger(site: str, window: tuple[float, float], agents: list[AgentLedger]) -> SiteLedger:
    """Return the ledger of a site from those of its agents."""
    begin, end = window
    return SiteLedger(site=site, begin=begin, end=end, agents=agents, checks=add_up(agents))


def agent_ledger(
    agent: str,
    window: tuple[float, float],
    life: Life,
    counted: Sequence[Counted],
    plans: Mapping[int, Sequence[Planned]],
) -> AgentLedger:
    """Return what is known of an agent. `plans`: by version, those it was ever told."""
    begin, end = window
    gaps = find_gaps(life, begin, end)
    inside = [one for one in life.stretches if one.end >= begin and one.begin <= end]
    shown = {one.boot for one in inside} | {
        name for name, boot in life.boots.items() if boot.running or boot.pending.total
    }
    edges: dict[str, dict[Cause, int]] = {}
    ledgers = _by_check(in_force(life.stretches, plans, window), gaps, plans, counted, edges)
    _count_made(ledgers, counted, begun_inside(life.stretches, window))
    pool = _pool(inside)
    for one in ledgers.values():
        _explain(one, pool)
        _explain(one, edges.get(one.check, {}))
    return AgentLedger(
        agent=agent,
        begin=begin,
        end=end,
        accounts=[account(boot) for name, boot in life.boots.items() if name in shown],
        repeated=sum(one.repeated for one in inside),
        gaps=gaps,
        checks=[ledgers[check] for check in sorted(ledgers)],
    )


def in_force(
    stretches: Sequence[Stretch], plans: Iterable[int], window: tuple[float, float]
) -> list[tuple[float, float, int]]:
    """Return which version an agent went by when; a version rules until another is seen.

    Of a time before the first batch it is the first one's; where there is no batch at all, the
    newest that the centre has given.
    """
    begin, end = window
    spans: list[tuple[float, float, int]] = []
    seen = sorted((one.begin, one.config) for one in stretches if one.trusted)
    if not seen:
        newest = max(plans, default=0)
        return [(begin, end, newest)] if newest else []
    at, version = begin, seen[0][1]
    for since, config in seen:
        if config != version:
            if since > at:
                spans.append((at, min(since, end), version))
                at = since
            version = config
    if end > at:
        spans.append((at, end, version))
    return spans


def _by_check(
    spans: Sequence[tuple[float, float, int]],
    gaps: Sequence[Gap],
    plans: Mapping[int, Sequence[Planned]],
    counted: Sequence[Counted],
    edges: dict[str, dict[Cause, int]],
) -> dict[str, CheckLedger]:
    """Return each check's expectation, and what of it the gaps explain.

    Into `edges` goes what they explain beside: at each end of a gap one run more than fits into it,
    the one that was under way, or whose place in the interval fell there.
    """
    seconds: dict[Planned, list[tuple[float, float]]] = {}
    for begin, end, version in spans:
        for run in plans.get(version, ()):
            if run.kind not in BY_SLOT:
                seconds.setdefault(run, []).append((begin, end))
    stored: dict[tuple[str, str, str], list[int]] = {}
    for one in counted:
        sums = stored.setdefault((one.check, one.target, one.line), [0, 0])
        sums[0] += one.runs
        sums[1] += one.apart
    expected: dict[tuple[str, str, str], tuple[int, list[tuple[Planned, float, float]]]] = {}
    for run, times in seconds.items():
        key = (run.check, run.target, run.line)
        number, parts = expected.get(key, (0, []))
        number += sum(int((end - begin) / run.interval) for begin, end in times)
        expected[key] = (number, [*parts, *((run, begin, end) for begin, end in times)])
    ledgers: dict[str, CheckLedger] = {}
    for key in {**expected, **stored}:
        ledger = ledgers.setdefault(key[0], CheckLedger(check=key[0], expected=None, missing={}))
        if key in expected:
            number, parts = expected[key]
            ledger.expected = (ledger.expected or 0) + number
            runs, apart = stored.get(key, (0, 0))
            left = _blame(ledger.missing, number - runs, apart, parts, gaps)
            edge = edges.setdefault(key[0], {})
            for cause in _edges(left, parts, gaps):
                edge[cause] = edge.get(cause, 0) + 1
    return ledgers


def _blame(
    missing: dict[Cause, int],
    left: int,
    apart: int,
    parts: Sequence[tuple[Planned, float, float]],
    gaps: Sequence[Gap],
) -> int:
    """Put the missing runs of one series under their causes; return how many none explains."""

    def take(cause: Cause, most: int) -> None:
        nonlocal left
        number = min(left, most)
        if number > 0:
            missing[cause] = missing.get(cause, 0) + number
            left -= number

    take("untrusted", apart)
    for gap in gaps:
        for run, begin, end in parts:
            overlap = min(end, gap.end) - max(begin, gap.begin)
            if overlap > 0:
                take(gap.cause, int(overlap / run.interval))
    unknown = max(0, left)
    take("unknown", unknown)
    return unknown


def _edges(
    left: int, parts: Sequence[tuple[Planned, float, float]], gaps: Sequence[Gap]
) -> list[Cause]:
    """Return the causes at whose edges runs may have fallen out, no more than are missing."""
    found: list[Cause] = []
    for _, begin, end in parts:
        found += [gap.cause for gap in gaps if gap.begin < end and gap.end > begin for _ in "be"]
    found += ["reconfigured"] * (len(parts) - 1)
    return found[: max(0, left)]


def _explain(one: CheckLedger, pool: dict[Cause, int]) -> None:
    """Give what no gap explains to what the agent says that it missed while it ran."""
    for cause in tuple(pool):
        left = one.missing.get("unknown", 0)
        taken = min(left, pool[cause])
        if taken:
            pool[cause] -= taken
            one.missing[cause] = one.missing.get(cause, 0) + taken
            one.missing["unknown"] = left - taken
    if not one.missing.get("unknown", 1):
        del one.missing["unknown"]


def _pool(stretches: Sequence[Stretch]) -> dict[Cause, int]:
    """Return how many runs of all its checks an agent says that it missed in some stretches."""
    pool: dict[Cause, int] = {"busy": 0, "stalled": 0, "memory": 0}
    last: dict[str, Tally] = {}
    for one in sorted(stretches, key=lambda one: (one.boot, one.first)):
        if one.before is None or one.after is None:
            continue
        base = last.get(one.boot) or (Tally() if one.first == 1 else one.before)
        pool["busy"] += max(0, one.after.busy - base.busy)
        pool["stalled"] += max(0, one.after.stalled - base.stalled)
        pool["memory"] += max(0, one.after.lost - base.lost)
        last[one.boot] = one.after
    return pool


def begun_inside(stretches: Sequence[Stretch], window: tuple[float, float]) -> set[str]:
    """Return the boots whose first batches lie in the window: their attempts count from 1."""
    first: dict[str, Stretch] = {}
    for one in stretches:
        first[one.boot] = min(first.get(one.boot, one), one, key=lambda one: one.first)
    return {boot for boot, one in first.items() if window[0] <= one.begin <= window[1]}


def _count_made(
    ledgers: dict[str, CheckLedger], counted: Sequence[Counted], begun: set[str]
) -> None:
    for one in counted:
        ledger = ledgers[one.check]
        made = one.stored
        if one.first:
            made = one.last - (0 if one.boot in begun else one.first - 1) - one.elsewhere
        ledger.made += made
        ledger.stored += one.stored
        ledger.runs += one.runs
        ledger.apart += one.apart
        ledger.doubled += one.doubled
        ledger.lost += max(0, made - one.stored)


def add_up(ledgers: Iterable[AgentLedger]) -> list[CheckLedger]:
    """Return the checks of several agents, each once."""
    sums: dict[str, CheckLedger] = {}
    for ledger in ledgers:
        for one in ledger.checks:
            whole = sums.setdefault(
                one.check, CheckLedger(check=one.check, expected=None, missing={})
            )
            if one.expected is not None:
                whole.expected = (whole.expected or 0) + one.expected
            for word in ("made", "stored", "runs", "apart", "lost", "doubled"):
                setattr(whole, word, getattr(whole, word) + getattr(one, word))
            for cause, number in one.missing.items():
                whole.missing[cause] = whole.missing.get(cause, 0) + number
    return [sums[check] for check in sorted(sums)]
