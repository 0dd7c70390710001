"""Keeping the ledger's file: what agents say is noted at once and written down some seconds later.

What a kill loses is a few seconds of words that every push repeats.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.wire import Push
from collector.agent_configs import Told
from collector.state.ledger_store import Heard, LedgerStore, hear

SAVE_SECONDS = 10.0

log = logging.getLogger(__name__)


class Keeper:
    """Hears pushes, on the event loop."""

    def __init__(self, path: Path, journal: Path, told: Callable[[], Mapping[str, Told]]) -> None:
        """`told` returns what each agent is told at this moment."""
        self._path = path
        self._journal = journal
        self._told = told
        self._heard: dict[str, Heard] = {}
        self._store: LedgerStore | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")

    def hear(self, agent: str, push: Push, now: float) -> None:
        """Note what a push says of itself."""
        self._heard[agent] = hear(self._heard.get(agent), push, now)

    async def run(self, stopping: asyncio.Event) -> None:
        """Write down what was noted, until told to stop and once more."""
        failing = False
        try:
            while True:
                done = stopping.is_set()
                try:
                    await self.save()
                    if failing:
                        log.warning("ledger can be written again")
                    failing = False
                except (sqlite3.Error, OSError) as exc:
                    if not failing:  # the first of a streak
                        log.error("ledger cannot be written error=%s", exc)  # noqa: TRY400 - no bug of ours
                    failing = True
                if done:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_SECONDS):
                        await stopping.wait()
        finally:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown()

    async def save(self) -> None:
        """Write down what was noted since the last time; what could not be written stays noted."""
        heard, self._heard = self._heard, {}
        told = self._told()
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._save(heard, told)
            )
        except BaseException:
            for agent, one in heard.items():
                newer = self._heard.get(agent)
                if newer is None:
                    self._heard[agent] = one
                else:
                    newer.runs = {**one.runs, **newer.runs}
                    newer.ended = {**one.ended, **newer.ended}
                    for boot, highest in one.highest.items():
                        newer.highest[boot] = max(highest, newer.highest.get(boot, 0))
            raise

    async def remove(self, before: float) -> None:
        """Forget what was last heard of before a moment; tried again when the disk refuses."""
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._store.remove(before) if self._store else None
            )
        except sqlite3.Error as exc:
            log.warning("old pages of the ledger cannot be removed error=%s", exc)

    def _save(self, heard: Mapping[str, Heard], told: Mapping[str, Told]) -> None:
        if self._store is None:
            self._store = LedgerStore(self._path, self._journal)
        self._store.save(heard, told)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
