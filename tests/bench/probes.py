"""CPU per probe: blackbox_exporter and the agent's runner, the same targets, in turn."""

import asyncio
import sys
import time
from pathlib import Path

import aiohttp

from tests.bench.measure import Row, cpu_seconds
from tests.bench.peers import Targets, blackbox

ROUNDS = 5
PROBES = 400
AT_ONCE = 10
TARGET = {"icmp": 0.25, "tcp": 0.25, "dns": 0.25, "http": 0.5, "https": 1.0}


def compare(work: Path, where: Targets) -> list[Row]:
    """Return a row per kind."""
    rows = [
        Row(f"CPU per {kind} probe", "ms", "blackbox_exporter", f"<= {target}")
        for kind, target in TARGET.items()
    ]
    with blackbox(work, where.ca) as (pid, address):
        for _ in range(ROUNDS):
            for kind, row in zip(TARGET, rows, strict=True):
                row.peer.append(asyncio.run(_peer(pid, address, kind, where.of(kind))))
                row.ours.append(asyncio.run(_ours(kind, where)))
    return rows


async def _peer(pid: int, address: str, kind: str, target: str) -> float:
    room = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            async with room, session.get(f"http://{address}/probe", params=query) as answer:
                assert "\nprobe_success 1\n" in await answer.text(), (kind, target)

        query = {"module": kind, "target": target}
        await one()
        before = cpu_seconds(pid)
        await asyncio.gather(*(one() for _ in range(PROBES)))
        return (cpu_seconds(pid) - before) / PROBES * 1e3


async def _ours(kind: str, where: Targets) -> float:
    """Run in a process of its own, as the agent does."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.probes", kind, where.of(kind), str(where.ca)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    assert child.returncode == 0, kind
    return float(out)


async def _child(kind: str, target: str, ca: str) -> None:
    from agent.config import Check
    from agent.probes.base import Env
    from agent.probes.net import SystemResolver
    from agent.runner import attempt, make_runs

    params = {"dns": {"query_name": "portal.test"}, "https": {"ca_file": ca}}.get(kind, {})
    if kind == "icmp":
        params = {"count": 1}  # as blackbox_exporter does
    check = Check(
        id="c",
        kind={"https": "http"}.get(kind, kind),
        targets=[target],
        params=params,
        interval_seconds=5.0,
    )
    env = Env(resolve=SystemResolver())
    [run] = make_runs([check], [], env, {})
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            sample = await attempt(run, 1)
            assert sample.up, sample

    await one()
    before = time.process_time()
    await asyncio.gather(*(one() for _ in range(PROBES)))
    print((time.process_time() - before) / PROBES * 1e3)
    env.close()


if __name__ == "__main__":
    asyncio.run(_child(*sys.argv[1:]))
