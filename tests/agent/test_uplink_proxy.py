"""A real nginx between the uplink and a real collector: whatever it answers costs no batch."""

import asyncio
import os
import random
import signal
import socket
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from agent import uplink as uplink_module
from agent.exchange import Status
from tests.agent.batches import BOOT, MACHINE_BOOT, make_batch, make_sample
from tests.agent.spools import body_of
from tests.agent.uplinks import quicken, running_agent
from tests.collector.served import AGENT, served
from tests.programs import free_port, listening, program, running
from tests.waiting import until, until_sync

pytestmark = pytest.mark.real

NGINX = """\
pid nginx.pid; error_log nginx.err; worker_processes 1; events {{ worker_connections 64; }}
http {{ access_log off; default_type text/html; gunzip off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  client_max_body_size 8m;
  server {{ listen 127.0.0.1:{port}; {rule} }} }}
"""
PASS = "location / {{ proxy_pass {centre}; }}"
TROUBLES = {
    "400": "location / {{ return 400; }}",
    "403": "location / {{ return 403; }}",
    "404": "location / {{ return 404; }}",
    "413, nothing fits": "client_max_body_size 1; location / {{ proxy_pass {centre}; }}",
    "429": "location / {{ return 429; }}",
    "500": "location / {{ return 500; }}",
    "502, nobody behind it": "location / {{ proxy_pass http://127.0.0.1:{dead}; }}",
    "504, somebody hangs behind it": (
        "proxy_read_timeout 1s; location / {{ proxy_pass http://127.0.0.1:{hung}; }}"
    ),
    "a page of its own, with 200": "location / {{ return 200 '<html>log in</html>'; }}",
    "a redirect": "location / {{ return 302 https://portal.example/; }}",
    "no answer at all": "location / {{ return 444; }}",
}


@dataclass(slots=True)
class Proxy:
    """A running nginx."""

    home: Path
    port: int
    centre: str
    dead: int
    hung: int
    pid: int = 0

    @property
    def url(self) -> str:
        """Where agents find it."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, rule: str) -> None:
        """Write its configuration."""
        rule = rule.format(centre=self.centre, dead=self.dead, hung=self.hung)
        (self.home / "nginx.conf").write_text(NGINX.format(port=self.port, rule=rule))

    async def become(self, rule: str) -> None:
        """Put another configuration in force, and wait until the old workers have gone."""
        before = self._workers()
        self.write(rule)
        os.kill(self.pid, signal.SIGHUP)
        await until(
            lambda: (now := self._workers()) and not now & before, seconds=10, what="reloaded"
        )

    def _workers(self) -> set[str]:
        return set(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii").split())


@contextmanager
def proxy(home: Path, centre: str):
    """Run nginx in front of a centre."""
    home.mkdir()
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(64)
        made = Proxy(home, free_port(), centre, free_port(), hung.getsockname()[1])
        made.write(PASS)
        command = [program("nginx"), "-p", str(home), "-c", "nginx.conf", "-g", "daemon off;"]
        with running(command, log=home / "log") as process:
            until_sync(lambda: listening("127.0.0.1", made.port), what="nginx")
            made.pid = process.pid
            yield made


@asynccontextmanager
async def behind_nginx(folder: Path):
    """Run collector, nginx and an uplink; yield agent, collector and nginx."""
    async with served(folder / "centre") as here:
        with proxy(folder / "nginx", here.url) as nginx:
            (folder / "token").write_text(here.token())
            async with running_agent(folder, nginx.url) as agent:
                agent.status = Status(
                    agent=AGENT, boot=BOOT, machine_boot=MACHINE_BOOT, synchronised=True
                )
                yield agent, here, nginx


async def bodies(here) -> dict[int, bytes]:
    """Return what the collector has, by number."""
    entries = await here.centre.journal.read(0, 10_000)
    assert len({entry.seq for entry in entries}) == len(entries)
    return {entry.seq: entry.body for entry in entries}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_a_proxy_answers_destroys_nothing(tmp_path, monkeypatch, trouble):
    """Everything waits, with its bytes, and arrives once when the proxy has come to its senses."""
    quicken(monkeypatch)
    (tmp_path / "centre").mkdir()
    async with behind_nginx(tmp_path) as (agent, here, nginx):
        agent.seal(3, agent=AGENT)
        await until(lambda: agent.spool.state.pending_batches == 0, what="handed over")
        await nginx.become(TROUBLES[trouble])
        agent.seal(20, agent=AGENT)
        await until(agent.failing, seconds=10, what="told")
        await asyncio.sleep(0.5)
        state = agent.spool.state
        assert (state.pending_batches, state.set_aside_batches, state.dropped_batches) == (20, 0, 0)
        why = agent.failing()
        await nginx.become(PASS)
        await until(lambda: agent.spool.state.pending_batches == 0, seconds=20, what="handed over")
        assert await bodies(here) == {
            seq: body_of(make_batch(agent=AGENT), seq) for seq in range(1, 24)
        }
        print(f"{trouble}: {why}")


async def test_a_proxy_that_takes_little_at_once_gets_little_at_once(tmp_path, monkeypatch):
    """413 from a proxy means smaller pushes, not fewer batches."""
    quicken(monkeypatch)
    (tmp_path / "centre").mkdir()
    async with behind_nginx(tmp_path) as (agent, here, nginx):
        await nginx.become("client_max_body_size 3k; " + PASS)
        for number in range(60):
            agent.seal(agent=AGENT, samples=3, detail=f"{number:x}" * 50)
        await until(lambda: agent.spool.state.pending_batches == 0, seconds=30, what="handed over")
        assert sorted(await bodies(here)) == list(range(1, 61))
        assert agent.spool.state.set_aside_batches == 0


async def test_one_batch_that_a_filter_dislikes_holds_up_no_other(tmp_path, monkeypatch):
    """It is found, waits, and is handed over later; it is never set aside on a stranger's word."""
    quicken(monkeypatch)
    monkeypatch.setattr(uplink_module, "DEFER_SECONDS", 3.0)
    (tmp_path / "centre").mkdir()
    async with behind_nginx(tmp_path) as (agent, here, nginx):
        await nginx.become("client_max_body_size 4k; " + PASS)
        agent.seal(5, agent=AGENT)
        bad = await large(agent)
        agent.seal(30, agent=AGENT)
        await until(lambda: agent.spool.state.pending_batches == 1, seconds=20, what="all others")
        assert sorted(await bodies(here)) == [seq for seq in range(1, 37) if seq != bad]
        assert agent.spool.state.set_aside_batches == 0
        await nginx.become(PASS)
        await until(lambda: agent.spool.state.pending_batches == 0, seconds=20, what="the last")
        assert sorted(await bodies(here)) == list(range(1, 37))
        assert agent.spool.state.set_aside_batches == 0


async def large(agent) -> int:
    """Seal a batch that does not fit; return its number."""
    samples = [
        msgspec.structs.replace(make_sample(number), facts={"noise": noise(number)})
        for number in range(20)
    ]
    agent.spool.append(msgspec.structs.replace(make_batch(agent=AGENT), samples=samples))
    return agent.spool._seq


def noise(number: int) -> str:
    """Return what does not become smaller by compressing it."""
    return random.Random(number).randbytes(300).hex()
