"""What the tests of the wall look at: a small province at a moment, and its page."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from collector import wall
from collector.diagnosis.evidence import Dossier
from collector.diagnosis.incidents import Incidents
from collector.inventory.model import Inventory, Phase, Profile, Text
from collector.state.fleet import Fleet
from collector.wall.page import Overview
from collector.wall.view import overview
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province, a_push
from tests.collector.state.fleets import a_fleet, decided, feed

AGENTS = (TCOC, TCOC_TTPV, YPHU, DC)


class Centre:
    """What the wall sees of a collector."""

    def __init__(self, inventory: Inventory | None = None) -> None:
        self.fleet: Fleet = a_fleet(inventory)
        self.incidents = Incidents()
        self.loaded = True
        self.evidence = SimpleNamespace(newest={})
        self.found = Dossier([], [], [])
        self.ledgers: Any = None
        """Put one here to look at it."""

    async def dossier(self, agent: str, check: str) -> Dossier:
        """Return what a test has put here."""
        return self.found

    def hear(self, now: float = NOON, agents: Iterable[str] = AGENTS) -> None:
        """Take one push of each agent."""
        for agent in agents:
            self.fleet.heard(agent, a_push(agent), now)

    def feed(self, series, attempts: str, at: float = NOON) -> None:
        """Take attempts of one series, a second apart."""
        feed(self.fleet, series, attempts, at)

    def look(self, now: float = NOON, lang: str = "vi", **said) -> Overview:
        """Let the time pass to `now`, and return the page."""
        self.fleet.tick(now)
        decided(self.incidents, self.fleet, now)
        open_ones = self.incidents.open.values()
        return overview(
            self.fleet.inventory,
            self.fleet,
            open_ones,
            now,
            lang,
            evidence=self.evidence.newest,
            **said,
        )


def words(page: Overview) -> str:
    """Return the sentence without its colours."""
    return "".join(piece.text for piece in page.sentence).replace("\u00a0", " ")


def tiles(page: Overview) -> dict[str, tuple[str, str]]:
    """Return state and word of every tile."""
    return {
        tile.id: (tile.state, tile.word.replace("\u00a0", " "))
        for group in page.groups
        for tile in group.tiles
    }


def with_phase(begins: str, ends: str) -> Inventory:
    """Return the province with one phase, in a calm profile otherwise."""
    here = a_province()
    zone = here.time_zone
    return replace(
        here,
        profiles={
            **here.profiles,
            "calm": Profile(batch_seconds=10.0, silent_after_seconds=35.0, interval_factor=3.0),
        },
        default_profile="calm",
        phases={
            "cutover": Phase(
                name=Text(vi="Vận hành chính thức", en="Official operation"),
                begins=datetime.fromisoformat(begins).replace(tzinfo=zone),
                ends=datetime.fromisoformat(ends).replace(tzinfo=zone),
                profile="fast",
            )
        },
    )


@contextlib.asynccontextmanager
async def serving(
    centre: Centre, clock: Callable[[], float] = lambda: NOON, port: int = 0
) -> AsyncIterator[str]:
    """Serve the wall of a centre on a port of this machine; yield its address."""
    app = web.Application()
    wall.add_routes(app, centre, clock)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()
