"""Live: what changed, once a second, to every open page.

One task renders for all viewers of a language, whatever their number; a beat without changes is 60
bytes. Each viewer has a short queue: who does not take the beats of QUEUED_SECONDS is let go, comes
back by itself and gets the whole page. Nothing is kept for who is away.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from collector.diagnosis.evidence import Dossier
from collector.diagnosis.incident import Incident
from collector.diagnosis.incidents import Incidents
from collector.duty.acts import Act
from collector.duty.duty import Duty
from collector.state.fleet import Fleet
from collector.state.ledger import SiteLedger
from collector.wall.page import Overview
from collector.wall.render import Message, Renderer
from collector.wall.view import overview

MAX_VIEWERS = 200
QUEUED_SECONDS = 10

log = logging.getLogger(__name__)


class HasNewest(Protocol):
    """What knows of which checks there is evidence."""

    @property
    def newest(self) -> Mapping[tuple[str, str], float]:
        """When the newest is from, by agent and check."""


class HasLedgers(Protocol):
    """What knows what became of every measurement of the last day."""

    @property
    def sites(self) -> Sequence[SiteLedger]:
        """Of every place, some minutes old; () before the first."""

    async def refresh(self) -> Sequence[SiteLedger]:
        """Return the same as of now. sqlite3.Error if it cannot be read."""

    async def one(self, site: str) -> SiteLedger | None:
        """Return one place's as of now; None where there is none. sqlite3.Error as above."""


class HasProblem(Protocol):
    """What silences acknowledged incidents in Alertmanager."""

    @property
    def problem(self) -> str:
        """Why it does not at the moment; "" where it does."""


class Centre(Protocol):
    """What the wall needs to see."""

    @property
    def fleet(self) -> Fleet:
        """How everything is."""

    @property
    def incidents(self) -> Incidents:
        """Which causes are open."""

    @property
    def evidence(self) -> HasNewest:
        """What agents saw at failing edges."""

    @property
    def ledgers(self) -> HasLedgers:
        """What became of every measurement."""

    @property
    def duty(self) -> Duty:
        """Who is on which incident."""

    @property
    def silencer(self) -> HasProblem:
        """What silences acknowledged incidents."""

    async def incident(self, identity: str) -> tuple[Incident | None, Sequence[Act]]:
        """Return an incident, open or closed, with its acts. sqlite3.Error if it cannot be read."""

    async def recent(self, limit: int) -> Sequence[tuple[Incident, Sequence[Act]]]:
        """Return the incidents closed last, the latest first. sqlite3.Error as above."""

    async def dossier(self, agent: str, check: str) -> Dossier:
        """Return the evidence about one check of one agent. sqlite3.Error if it cannot be read."""

    @property
    def loaded(self) -> bool:
        """Whether everything that was known before the start is known again."""


class Viewer:
    """One open page. `drop` breaks its connection, whatever it is doing."""

    def __init__(self, lang: str, drop: Callable[[], None]) -> None:
        self.lang = lang
        self.drop = drop
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_SECONDS)
        """None ends the stream."""


class Live:
    """The viewers, and the page that those of each language have been told."""

    def __init__(self, centre: Centre, renderer: Renderer, clock: Callable[[], float]) -> None:
        self._centre = centre
        self._renderer = renderer
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._told: dict[str, Overview] = {}

    def overview(self, lang: str) -> Overview:
        """Return the province as it is now."""
        fleet = self._centre.fleet
        return overview(
            fleet.inventory,
            fleet,
            self._centre.incidents.open.values(),
            self._clock(),
            lang,
            evidence=self._centre.evidence.newest,
            standings=self._centre.duty.standings,
            loading=not self._centre.loaded,
        )

    def join(self, lang: str, drop: Callable[[], None]) -> Viewer | None:
        """Take in a viewer, the whole page its first message; None when there are too many."""
        if len(self._viewers) >= MAX_VIEWERS:
            return None
        page = self._told.setdefault(lang, self.overview(lang))
        viewer = Viewer(lang, drop)
        viewer.messages.put_nowait(self._encode(page, self._renderer.whole(page)))
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer; a language nobody reads is not rendered."""
        self._viewers.discard(viewer)
        if all(other.lang != viewer.lang for other in self._viewers):
            self._told.pop(viewer.lang, None)

    def end(self) -> None:
        """End all streams: the server stops."""
        for viewer in self._viewers:
            while viewer.messages.full():
                viewer.messages.get_nowait()
            viewer.messages.put_nowait(None)

    async def run(self) -> None:
        """Beat once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + 1.0, loop.time())
            await asyncio.sleep(due - loop.time())
            try:
                self.beat()
            except Exception:
                # No beat went out, so every page will say by itself that it is old.
                log.exception("the wall could not be rendered")

    def beat(self) -> None:
        """Tell every viewer the time and what changed since the last beat."""
        for lang, told in list(self._told.items()):
            page = self.overview(lang)
            if self._renderer.build(page) == self._renderer.build(told):
                message = self._renderer.changes(told, page)
            else:
                message = self._renderer.whole(page)
            self._told[lang] = page
            data = self._encode(page, message)
            for viewer in [viewer for viewer in self._viewers if viewer.lang == lang]:
                self._tell(viewer, data)

    def _tell(self, viewer: Viewer, data: bytes) -> None:
        try:
            viewer.messages.put_nowait(data)
        except asyncio.QueueFull:
            self.leave(viewer)
            viewer.drop()

    def _encode(self, page: Overview, message: Message) -> bytes:
        clocks = {"now": round(page.now, 2), "tick": round(asyncio.get_running_loop().time(), 2)}
        heard = None if page.heard is None else round(page.heard, 2)
        return b"data: " + msgspec.json.encode({**clocks, "heard": heard, **message}) + b"\n\n"
