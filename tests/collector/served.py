"""A collector in this process, on a port of its own, with a small province."""

import gzip
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from agent.wire import Answer
from collector.app import make_app, make_runner
from collector.centre import Centre
from collector.config import read_collector_file
from collector.inventory.load import load
from tests.collector.ingest import pushes
from tests.collector.inventory import folders
from tests.waiting import until

AGENT, OTHER = "04792", "07900"


@dataclass(slots=True)
class Served:
    """One running collector and a client."""

    url: str
    centre: Centre
    session: aiohttp.ClientSession
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, agent: str = AGENT) -> str:
        """Return an agent's token, made on first use."""
        if agent not in self.tokens:
            access, now = self.centre.access, time.time()
            known = any(token.agent == agent for token in access.tokens())
            make = partial(access.rotate, grace_seconds=0.0) if known else access.add
            self.tokens[agent] = make(agent, now)
        return self.tokens[agent]

    def headers(self, agent: str = AGENT, **more: str) -> dict[str, str]:
        """Return what an agent sends with a push."""
        return {
            "Authorization": f"Bearer {self.token(agent)}",
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    async def send(self, body: bytes, *, headers: dict[str, str] | None = None):
        """Post bytes; return status, headers and body."""
        async with self.session.post(
            f"{self.url}/api/v1/batches", data=io.BytesIO(body), headers=headers or self.headers()
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    async def push(self, *batches, agent: str = AGENT, **changes) -> Answer:
        """Push batches as an agent does; return the collector's answer."""
        body = gzip.compress(pushes.body(*batches, agent=agent, **changes), 1)
        status, _, answer = await self.send(body, headers=self.headers(agent))
        assert status == 200, answer
        return msgspec.json.decode(answer, type=Answer)

    async def get(self, path: str, **headers: str):
        """Get a path; return status, headers and body."""
        named = {"Accept-Encoding": "identity"}  # as it is made, unless the test asks otherwise
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(f"{self.url}{path}", headers=named) as answer:
            return answer.status, answer.headers, await answer.read()

    async def kept(self) -> list[tuple[str, int]]:
        """Return which batches the journal has: (agent, number)."""
        return [(one.agent, one.seq) for one in await self.centre.journal.read(0, 100_000)]

    def metric(self, name: str) -> float:
        """Return the present value of one of the collector's own metrics."""
        lines = self.centre.own.page().decode().splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[-1])


@asynccontextmanager
async def served(
    home: Path,
    *,
    more: str = "",
    wall: Callable[[], float] = time.time,
    loaded: bool = True,
) -> AsyncIterator[Served]:
    """Run a collector with its files in `home`; `more` is added to its collector.yml."""
    folder = home / "mau"
    if not folder.exists():
        folders.write(home)
    file = home / "collector.yml"
    file.write_text(f"province: mau\nstate_directory: state\n{more}", "utf-8")
    config = read_collector_file(file)
    centre = Centre(config, load(folder), wall)
    runner = make_runner(make_app(centre, config))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            if loaded:
                await until(lambda: centre.loaded, what="loaded")
            yield Served(f"http://127.0.0.1:{port}", centre, session, folder)
    finally:
        await runner.cleanup()
