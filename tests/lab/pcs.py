"""PCs of a province that was cut off, many in one process: real spools and uplinks, and a clock.

    python -m tests.lab.pcs FOLDER VERSION SECONDS AGENT…

fills each agent's spool as a cut of so many seconds leaves it, and says `ready`. From then on each PC
goes on measuring, a batch a second through its spool. At `out` on stdin all lines are back at once;
at `in` the PCs hand over what they have, say goodbye, and a line of JSON tells what they did.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.clock import machine_boot, read_stamp, synchronised
from agent.config import AgentFile, read_agent_file
from agent.segments import Pending
from agent.spool import Spool
from agent.uplink import Status, Uplink
from agent.wire import WIRE_VERSION, Batch
from tests.lab.backlog import OLD_BOOT, SITE, samples, sealed, write_spool
from tests.waiting import until

DOWN = "check-7"
"""Failed in the middle third of the cut: nobody is to be called for that now."""
LOOK_SECONDS = 0.05


class Done(msgspec.Struct, frozen=True):
    """What the PCs of a process did."""

    made: dict[str, int]
    """How many batches each boot had, by its name."""
    late_seconds: float
    """The longest that this process kept its own clock waiting: no fault of the collector's."""


def old_boot(agent: str) -> str:
    """Return the name of the run that an agent was in when it was cut off."""
    return f"{OLD_BOOT[: -len(agent) - 1]}0{agent}"


def history(version: int, seconds: int) -> list[Pending]:
    """Return what one office seals in so many seconds up to now."""
    chance = random.Random(4)
    begin = time.time() - seconds
    third = range(seconds // 3, 2 * seconds // 3)
    return [
        sealed(n, begin + n, chance, config=version, down=DOWN if n in third else "")
        for n in range(1, seconds + 1)
    ]


def of(agent: str, model: Iterable[Pending]) -> Iterable[Pending]:
    """Return the same as another office seals it: encoded once, as 148 times would take minutes."""
    boot = old_boot(agent)
    for one in model:
        body = one.body.replace(SITE.encode(), agent.encode(), 1)
        body = body.replace(OLD_BOOT.encode(), boot.encode(), 1)
        yield Pending(boot, one.seq, one.wall_ms, body, synchronised=True)


class Pc:
    """One PC: what is in its spool goes out; each second it seals five samples."""

    def __init__(self, file: AgentFile, version: int) -> None:
        self.boot = os.urandom(16).hex()
        self.made = 0
        self._machine = machine_boot()
        self._synchronised = synchronised()
        self.spool = Spool(file.state_directory / "spool", file.spool, boot=self.boot)
        self._agent = file.agent
        self._version = version
        self._chance = random.Random(self.boot)
        self.uplink = Uplink(
            file.collector,
            file.lines,
            self.spool,
            self._status,
            lambda _: None,
            on_slots=lambda _: None,
        )

    async def measure(self, enough: asyncio.Event) -> None:
        """Seal a batch a second, at a moment of the second that is this PC's own."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._chance.random()
        while not enough.is_set():
            await asyncio.sleep(due - loop.time())
            due += 1.0
            self.made += 1
            stamp = read_stamp()
            batch = Batch(
                v=WIRE_VERSION,
                agent=self._agent,
                boot=self.boot,
                machine_boot=self._machine,
                seq=0,  # the spool numbers it
                sealed=stamp,
                synchronised=self._synchronised,
                config=self._version,
                program="0.1.0",
                samples=samples(self.made, stamp, self._chance),
            )
            await asyncio.to_thread(self.spool.append, batch)
            self.uplink.wake()

    async def leave(self, sending: asyncio.Task) -> None:
        """Hand over the rest, say goodbye and close."""
        await until(lambda: not self.spool.state.pending_batches, seconds=30, what="handed over")
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled(), "the uplink ended by itself"
        await self.uplink.bye("shutdown")
        await self.uplink.close()
        self.spool.close()

    def _status(self) -> Status:
        return Status(
            agent=self._agent,
            boot=self.boot,
            machine_boot=self._machine,
            synchronised=self._synchronised,
            config=self._version,
        )


async def run(folder: Path, version: int, seconds: int, agents: list[str]) -> Done:
    """Do all of it; the moments come on stdin."""
    files = [read_agent_file(folder / agent / "agent.yml") for agent in agents]
    model = history(version, seconds)
    for file in files:
        write_spool(file.state_directory / "spool", of(file.agent, model))
    model.clear()
    pcs = [Pc(file, version) for file in files]
    enough, late = asyncio.Event(), [0.0]
    watching = asyncio.create_task(watch(late))
    measuring = [asyncio.create_task(pc.measure(enough)) for pc in pcs]
    print("ready", flush=True)
    await told("out")
    sending = [asyncio.create_task(pc.uplink.run()) for pc in pcs]
    await told("in")
    enough.set()
    await asyncio.gather(*measuring)
    await asyncio.gather(*(pc.leave(task) for pc, task in zip(pcs, sending, strict=True)))
    watching.cancel()
    return Done({pc.boot: pc.made for pc in pcs}, late[0])


async def told(word: str) -> None:
    """Wait for a line on stdin."""
    assert (await asyncio.to_thread(sys.stdin.readline)).strip() == word


async def watch(late: list[float]) -> None:
    """Note how late this process is at most."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        late[0] = max(late[0], loop.time() - due)


def main() -> None:
    """Run as a program."""
    folder, version, seconds, *agents = sys.argv[1:]
    done = asyncio.run(run(Path(folder), int(version), int(seconds), agents))
    print(msgspec.json.encode(done).decode(), flush=True)


if __name__ == "__main__":
    main()
