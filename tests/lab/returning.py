"""A province that comes back at once: 148 PCs, each with what its cut left behind.

Spools and uplinks are the agent's own, in a few processes (tests/lab/pcs.py), the collector is a
real process, everything goes over HTTP on loopback. The spools are in memory: 148 PCs have 148
disks, and the collector has its own. What it keeps people waiting for is measured from outside.
"""

import asyncio
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from agent.wire import Ranges
from collector.database import Database, open_reader
from collector.ingest.access import Access
from tests.bench.measure import cpu_seconds
from tests.e2e.province import COLLECTOR, ROOT, Program
from tests.lab.backlog import KINDS, OLD_BOOT, TARGETS
from tests.lab.pcs import Done
from tests.programs import free_port

AGENTS = [f"{number:05}" for number in range(30_001, 30_149)]
SHARES = 2
"""Processes of PCs."""
PAGES = {"/metrics/live": "/metrics/live", "wall": "/"}
LOOK_SECONDS = 0.2
BEAT_SECONDS = 1.0
"""How often the wall says what changed."""
PROVINCE = """\
name: {vi: Tỉnh Thử, en: Trial province}
time_zone: Asia/Ho_Chi_Minh
carriers: {}
systems:
  portal: {name: {vi: Cổng thử, en: Trial portal}, owner: Nhóm thử, scope: site}
profiles:
  fast: {batch_seconds: 1, silent_after_seconds: 4}
default_profile: fast
"""
CHECK = """\
- id: check-{n}
  name: {{vi: Cổng {n}, en: Portal {n}}}
  system: portal
  layer: service
  kind: {kind}
  targets: ["{target}"]
  interval_seconds: 5
"""


@dataclass(slots=True)
class Return:
    """What a test looks at."""

    folder: Path
    url: str
    collector: Program
    shares: list[asyncio.subprocess.Process]
    took: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each request by page, and by how much each beat of the wall was late."""
    ours: list[float] = field(default_factory=list)
    """The same without the seconds in which the collector was ready and the machine, which others
    use too, gave it no processor."""
    ages: list[float] = field(default_factory=list)
    """Of the newest live sample of each agent at the centre, at each look; seconds."""

    @property
    def journal(self) -> Path:
        """Where the collector keeps everything."""
        return self.folder / "state" / "journal.sqlite"

    def drained(self) -> int:
        """Return how many batches of the cut are at the centre."""
        with closing(open_reader(self.journal)) as database:
            rows = database.execute(
                "SELECT ranges FROM boots WHERE boot GLOB ?", (f"{OLD_BOOT[:16]}*",)
            ).fetchall()
        return sum(Ranges(msgspec.json.decode(ranges)).total for (ranges,) in rows)

    async def all_in(self, batches: int, seconds: float) -> None:
        """Wait until so many batches of the cut are at the centre."""
        deadline = time.monotonic() + seconds
        while (there := await asyncio.to_thread(self.drained)) < batches:
            assert time.monotonic() < deadline, f"{there} of {batches} batches after {seconds} s"
            await asyncio.sleep(LOOK_SECONDS)

    def cpu(self) -> tuple[float, float]:
        """Return the seconds of CPU that the collector has used, and all PCs."""
        assert self.collector.process
        return cpu_seconds(self.collector.process.pid), cpu_seconds(
            *(share.pid for share in self.shares)
        )

    async def tell(self, word: str) -> None:
        """Say a word to all processes of PCs at once."""
        for share in self.shares:
            assert share.stdin
            share.stdin.write(f"{word}\n".encode())
            await share.stdin.drain()

    async def come_in(self) -> dict[str, int]:
        """Let the PCs hand over the rest and end; return how many batches each boot had."""
        await self.tell("in")
        made: dict[str, int] = {}
        for share in self.shares:
            assert share.stdout
            done = msgspec.json.decode(await share.stdout.readline(), type=Done)
            print(f"PCs of one process: own loop late by {done.late_seconds:.2f} s at most")
            made |= done.made
            assert await share.wait() == 0
        return made

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask for the pages and look at the ages while the block runs."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(self.url, timeout=timeout) as session:
            watching = [
                *(asyncio.create_task(self._ask(session, *page)) for page in PAGES.items()),
                asyncio.create_task(self._listen(session)),
                asyncio.create_task(self._look(time.time())),
            ]
            try:
                yield
                for task in watching:
                    assert not task.done(), task.exception()
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)

    async def _ask(self, session: aiohttp.ClientSession, name: str, path: str) -> None:
        took = self.took.setdefault(name, [])
        while True:
            starved, begun = self._starved(), time.monotonic()
            async with session.get(path) as answer:
                assert answer.status == 200, await answer.text()
                assert await answer.read()
            took.append(time.monotonic() - begun)
            self.ours.append(took[-1] - (self._starved() - starved))
            await asyncio.sleep(LOOK_SECONDS)

    def _starved(self) -> float:
        """Return how long the collector's loop has waited for a processor so far (schedstat)."""
        assert self.collector.process
        text = Path(f"/proc/{self.collector.process.pid}/schedstat").read_text("ascii")
        return int(text.split()[1]) / 1e9

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        late = self.took.setdefault("wall's beat", [])
        last = starved = 0.0
        async with session.get("/live", timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    now = time.monotonic()
                    if last:
                        late.append(max(0.0, now - last - BEAT_SECONDS))
                        self.ours.append(late[-1] - (self._starved() - starved))
                    last, starved = now, self._starved()
        raise AssertionError("the wall's stream ended")

    async def _look(self, out_at: float) -> None:
        with closing(open_reader(self.journal)) as database:
            while True:
                self.ages += await asyncio.to_thread(_ages, database, out_at)
                await asyncio.sleep(LOOK_SECONDS)


def _ages(database: Database, out_at: float) -> list[float]:
    """Return how old the newest live sample of each agent is; of one that has none, since `out_at`."""
    boots = database.execute(
        "SELECT id FROM boots WHERE boot NOT GLOB ?", (f"{OLD_BOOT[:16]}*",)
    ).fetchall()
    newest = [
        database.execute(
            "SELECT times FROM entries WHERE boot = ? ORDER BY seq DESC LIMIT 1", boot
        ).fetchone()
        for boot in boots
    ]
    now = time.time()
    ages = [now - max(at for (at,) in struct.iter_unpack("<d", row[0])) for row in newest if row]
    return ages + [now - out_at] * (len(AGENTS) - len(ages))


def spread(values: list[float]) -> str:
    """Return the middle, the last hundredth and the most, seconds."""
    ordered = sorted(values)
    p50, p99 = (ordered[int((len(ordered) - 1) * part)] for part in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {ordered[-1]:.2f} s of {len(ordered)}"


@asynccontextmanager
async def returning(folder: Path, seconds: int) -> AsyncIterator[Return]:
    """Run a collector and 148 PCs that were cut off for so long, and still are."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _write_province(folder, port)
    collector = Program(
        [*COLLECTOR, "run", "-c", f"{folder}/collector.yml"], folder / "collector.log"
    )
    shares: list[asyncio.subprocess.Process] = []
    with _agents(folder, url) as token, (folder / "pcs.log").open("wb") as log:
        try:
            collector.start()
            made = Return(folder, url, collector, shares)
            version = await _version(url, token)
            for number in range(SHARES):
                command = [sys.executable, "-m", "tests.lab.pcs", folder, str(version)]
                share = await asyncio.create_subprocess_exec(
                    *(*command, str(seconds), *AGENTS[number::SHARES]),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
                shares.append(share)
            for share in shares:
                assert await share.stdout.readline() == b"ready\n"
            yield made
        except BaseException:
            for name in ("collector.log", "pcs.log"):
                print((folder / name).read_text("utf-8", "replace")[-3000:])
            raise
        finally:
            for share in shares:
                if share.returncode is None:
                    share.kill()
                    await share.wait()
            collector.end()


async def _version(url: str, token: str) -> int:
    """Return which configuration the centre has for its agents, once it can be asked."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        for _ in range(200):
            try:
                async with session.get("/api/v1/config") as answer:
                    if answer.status == 200:
                        return int((await answer.json())["version"])
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("no collector")


@contextmanager
def _agents(folder: Path, url: str) -> Iterator[str]:
    """Write what the PCs have on their disks; yield one of their tokens."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="thongsuot-") as memory,
        closing(Access(folder / "state" / "access.sqlite")) as access,
    ):
        for agent in AGENTS:
            home = folder / agent
            home.mkdir()
            token = access.add(agent, time.time())
            (home / "token").write_text(token)
            (home / "agent.yml").write_text(
                f"agent: '{agent}'\nstate_directory: state\n"
                f"collector: {{url: '{url}', token_file: token}}\n"
            )
            (Path(memory) / agent).mkdir()
            (home / "state").symlink_to(Path(memory) / agent)
        yield token


def _write_province(folder: Path, port: int) -> None:
    made = folder / "province"
    made.mkdir(parents=True)
    (made / "province.yml").write_text(PROVINCE, "utf-8")
    (made / "sites.csv").write_text(
        "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone\n"
        + "".join(f"{agent},Xã {agent[-3:]},xã,Thử,,,,,,\n" for agent in AGENTS),
        "utf-8",
    )
    (made / "lines.csv").write_text(
        "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor\n"
    )
    (made / "devices.csv").write_text("site,agent,device,kind,address\n")
    kinds = {n: KINDS[n % 5] for n in range(25)}
    checks = (
        CHECK.format(n=n, kind=kind, target=TARGETS[kind].format(n)) for n, kind in kinds.items()
    )
    (made / "checks.yml").write_text("checks:\n" + "".join(checks), "utf-8")
    (folder / "collector.yml").write_text(
        f"province: province\nstate_directory: state\nlisten: {{host: 127.0.0.1, port: {port}}}\n"
    )
