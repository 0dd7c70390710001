"""CPU per push: the collector, fsync before the answer, against Pushgateway with its check off.

A push is 25 targets x 8 values from one of 148 agents, over connections that stay open.
"""

import asyncio
import gzip
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec

from agent.wire import WIRE_VERSION, Batch, Push, Sample, Stamp
from tests.bench.measure import Row, cpu_seconds, resident_bytes
from tests.bench.peers import pushgateway
from tests.bench.province import collector

ROUNDS = 3
PUSHES = 1_480
AT_ONCE = (8, 64)
VALUES = ("duration", "loss", "min", "max", "mean", "jitter", "sent", "received")
PHU_THO = Path(__file__).parents[2] / "configs/provinces/phu-tho"

Send = Callable[[aiohttp.ClientSession, int], Awaitable[None]]


def compare(work: Path) -> list[Row]:
    """Return a row per concurrency, and the memory after it all."""
    peer = "Pushgateway, check off, in memory"
    rows = [
        Row(f"durable ingest, {n} at once: CPU per push", "ms", peer, "<= 0.5") for n in AT_ONCE
    ]
    rss = Row("RSS after ingest, 148 agents", "MiB", peer, "<= 0.9")
    with pushgateway(work) as (peer_pid, address), collector(work, PHU_THO) as centre:
        agents = centre.communes()[:148]
        ours = _ours(centre.url, agents, {agent: centre.token(agent) for agent in agents})
        for _ in range(ROUNDS):
            for at_once, row in zip(AT_ONCE, rows, strict=True):
                row.peer.append(asyncio.run(_cost(peer_pid, _peer(address), at_once)))
                row.ours.append(asyncio.run(_cost(centre.pid, ours, at_once)))
        rss.peer.append(resident_bytes(peer_pid) / 2**20)
        rss.ours.append(resident_bytes(centre.pid) / 2**20)
    return [*rows, rss]


async def _cost(pid: int, send: Send, at_once: int) -> float:
    """Return milliseconds of CPU per push; every answer is checked."""
    room = asyncio.Semaphore(at_once)
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(number: int) -> None:
            async with room:
                await send(session, number)

        await asyncio.gather(*(one(n) for n in range(148)))
        before = cpu_seconds(pid)
        await asyncio.gather(*(one(n) for n in range(PUSHES)))
        return (cpu_seconds(pid) - before) / PUSHES * 1e3


def _peer(address: str) -> Send:
    async def send(session: aiohttp.ClientSession, number: int) -> None:
        lines = []
        for name in VALUES:
            lines.append(f"# TYPE probe_{name} gauge")
            lines += [
                f'probe_{name}{{target="portal-{n}.example:443"}} {number + n / 7}'
                for n in range(25)
            ]
        body = "\n".join(lines) + "\n"
        url = f"http://{address}/metrics/job/thongsuot/site/{number % 148}"
        async with session.put(url, data=body.encode()) as answer:
            assert answer.ok, await answer.text()

    return send


def _ours(url: str, agents: list[str], tokens: dict[str, str]) -> Send:
    boots = {agent: os.urandom(16).hex() for agent in agents}
    seqs = dict.fromkeys(agents, 0)

    async def send(session: aiohttp.ClientSession, number: int) -> None:
        agent = agents[number % len(agents)]
        seqs[agent] += 1
        body = gzip.compress(_push(agent, boots[agent], seqs[agent]), 1)
        headers = {
            "Authorization": f"Bearer {tokens[agent]}",
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        async with session.post(f"{url}/api/v1/batches", data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    return send


def _push(agent: str, boot: str, seq: int) -> bytes:
    now = Stamp(
        wall_ms=time.time_ns() // 1_000_000, mono_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )
    samples = [
        Sample(
            check="cong-tinh",
            target=f"https://portal-{n}.example",
            kind="icmp",
            version=1,
            start=now,
            duration=0.0123 + n / 1e4,
            phases={"resolve": 0.0011, "rtt": 0.0104},
            values={f"icmp_{name}": seq + n / 7 for name in VALUES},
            counters={"all_success_count": seq, "all_success_sum": seq},
        )
        for n in range(25)
    ]
    batch = Batch(
        v=WIRE_VERSION,
        agent=agent,
        boot=boot,
        machine_boot=boot,
        seq=seq,
        sealed=now,
        synchronised=True,
        config=1,
        program="bench",
        samples=samples,
    )
    push = Push(
        v=WIRE_VERSION,
        agent=agent,
        boot=boot,
        machine_boot=boot,
        sent=now,
        batches=[msgspec.Raw(msgspec.json.encode(batch))],
    )
    return msgspec.json.encode(push)
