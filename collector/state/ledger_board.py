"""LedgerBoard: the ledger of the last day, of every site, brought up to date now and then."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from collector.state.ledger import SiteLedger
from collector.state.ledger_read import LedgerReader

REFRESH_SECONDS = 60.0

log = logging.getLogger(__name__)


class LedgerBoard:
    """Asked on the event loop; reads in a thread."""

    def __init__(
        self,
        state: Path,
        agents_of: Callable[[], Mapping[str, Sequence[str]]],
        *,
        kept_seconds: float,
        on_refresh: Callable[[Sequence[SiteLedger]], None],
    ) -> None:
        """`agents_of` returns the agents by site as they are now."""
        self.sites: Sequence[SiteLedger] = ()
        """As they were when it was last brought up to date."""
        self._state = state
        self._agents_of = agents_of
        self._kept_seconds = kept_seconds
        self._on_refresh = on_refresh

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep `sites` up to date until told to stop."""
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await stopping.wait()
                    return
            try:
                await self.refresh()
            except sqlite3.Error as exc:
                log.warning("the ledger cannot be read error=%s", exc)

    async def refresh(self) -> Sequence[SiteLedger]:
        """Bring `sites` up to date, and return them. sqlite3.Error if nothing can be read."""
        self.sites = await self._read(self._agents_of())
        self._on_refresh(self.sites)
        return self.sites

    async def one(self, site: str) -> SiteLedger | None:
        """Return one site's as of now; None where there is none. sqlite3.Error as above."""
        agents = self._agents_of().get(site)
        if agents is None:
            return None
        (found,) = await self._read({site: agents})
        return found

    async def _read(self, agents_of: Mapping[str, Sequence[str]]) -> list[SiteLedger]:
        def read() -> list[SiteLedger]:
            with LedgerReader(self._state, kept_seconds=self._kept_seconds) as reader:
                return reader.sites(agents_of, reader.window(None, None))

        return await asyncio.to_thread(read)
