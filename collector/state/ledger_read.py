"""LedgerReader: the ledger of agents over a window, from the files of a state directory.

Reads beside a running collector, and after one; writes nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from collector.database import open_reader
from collector.state import rollup_read
from collector.state.gaps import Life
from collector.state.ledger import (
    AgentLedger,
    Counted,
    Planned,
    SiteLedger,
    agent_ledger,
    begun_inside,
    site_ledger,
)
from collector.state.ledger_store import read_boots
from collector.state.rollup_read import RollupReader
from collector.state.rollup_store import boot_key

HOUR = 3600.0
DAY = 24 * HOUR


class LedgerReader:
    """sqlite3.Error where a file is missing or cannot be read. Use it as a context."""

    def __init__(self, state: Path, *, kept_seconds: float) -> None:
        """`kept_seconds`: for how long the centre keeps what it counted."""
        self._kept_seconds = kept_seconds
        self._rollup = RollupReader(state / "rollup.sqlite")
        self._journal = open_reader(state / "journal.sqlite")
        self._ledger = open_reader(state / "ledger.sqlite")
        self.counted_until = self._rollup.reached().received_at
        """Arrival of the newest entry that is counted; 0 before the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rollup.close()
        self._journal.close()
        self._ledger.close()

    def window(self, begin: float | None, end: float | None) -> tuple[float, float]:
        """Return whole hours around what was asked for, not beyond what is counted.

        Without an end it is now, without a beginning a day before that.
        """
        until = self.counted_until
        last = until if end is None else min(until, -(-end // HOUR) * HOUR)
        first = ((last - DAY if begin is None else begin) // HOUR) * HOUR
        return min(first, last), last

    def agents(self, agents: Sequence[str], window: tuple[float, float]) -> list[AgentLedger]:
        """Return the ledger of each agent."""
        begin, end = window
        hours = int(begin // HOUR), int(max(begin, end - 1e-3) // HOUR)
        counted: dict[str, list[rollup_read.Counted]] = {agent: [] for agent in agents}
        for one in self._rollup.counts(agents, *hours):
            counted[one.key.agent].append(one)
        return [self._agent(agent, window, hours, counted[agent]) for agent in agents]

    def sites(
        self, agents_of: Mapping[str, Sequence[str]], window: tuple[float, float]
    ) -> list[SiteLedger]:
        """Return the ledger of each site, in their order. `agents_of`: the agents by site."""
        every = [agent for agents in agents_of.values() for agent in agents]
        of = {one.agent: one for one in self.agents(every, window)}
        return [
            site_ledger(site, window, [of[agent] for agent in agents])
            for site, agents in agents_of.items()
        ]

    def _agent(
        self,
        agent: str,
        window: tuple[float, float],
        hours: tuple[int, int],
        counted: Sequence[rollup_read.Counted],
    ) -> AgentLedger:
        life = self._life(agent, hours)
        begun = begun_inside(life.stretches, window)
        names = {boot_key(boot): boot for boot in life.boots}
        named = [
            self._named(one, names.get(one.boot, one.boot.hex()), begun, hours) for one in counted
        ]
        return agent_ledger(agent, window, life, named, self._plans(agent))

    def _named(
        self, one: rollup_read.Counted, boot: str, begun: set[str], hours: tuple[int, int]
    ) -> Counted:
        """Return a count under the name of its boot, with what of it lies outside the window."""
        first = 1 if boot in begun else one.first
        holes = bool(one.first) and one.stored < one.last - first + 1
        return Counted(
            check=one.key.check,
            target=one.key.target,
            line=one.key.line,
            kind=one.key.kind,
            boot=boot,
            first=one.first,
            last=one.last,
            stored=one.stored,
            runs=one.runs,
            apart=one.apart,
            doubled=one.doubled,
            elsewhere=self._rollup.elsewhere(one, first, *hours) if holes else 0,
        )

    def _life(self, agent: str, hours: tuple[int, int]) -> Life:
        """Return what is known of an agent."""
        row = self._ledger.execute(
            "SELECT known_since, heard_at FROM agents WHERE agent = ?", (agent,)
        ).fetchone()
        known_since, heard_at = row or (None, None)
        boots, _ = read_boots(self._ledger, self._journal, agent)
        goodbyes = self._ledger.execute(
            "SELECT boot FROM runs WHERE agent = ? AND goodbye != ''", (agent,)
        )
        return Life(
            stretches=self._rollup.stretches(agent, *hours),
            boots=boots,
            goodbyes=frozenset(boot for (boot,) in goodbyes),
            heard_at=heard_at,
            known_since=known_since,
            kept_since=self.counted_until - self._kept_seconds,
        )

    def _plans(self, agent: str) -> dict[int, list[Planned]]:
        rows = self._ledger.execute("SELECT version, body FROM plans WHERE agent = ?", (agent,))
        return {version: _plan.decode(body) for version, body in rows}


_plan = msgspec.msgpack.Decoder(list[Planned])
