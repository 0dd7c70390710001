"""What the cells of the fault matrix share: a busy small province, random moments, the account."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from agent import segments
from collector.database import open_reader
from collector.diagnosis.incident import Incident
from collector.ingest.chain import verify
from tests.e2e.province import More, Program, Province
from tests.reliability.accounts import account, journal
from tests.reliability.ledgers import hold_ledger
from tests.waiting import until

CHECKS_OF_EACH = 20
"""Beside the portal's: with the four batches a second of two agents, disks are seldom at rest."""
BUSY = More(
    profile="{batch_seconds: 0.5, silent_after_seconds: 4}",
    checks="".join(
        f"""\
  - id: door-{number:02}
    name: {{vi: Cửa {number}, en: Door {number}}}
    system: portal
    layer: service
    kind: tcp
    targets: ["{{portal}}"]
    interval_seconds: 1
    timeout_seconds: 2
"""
        for number in range(CHECKS_OF_EACH)
    ),
)
TIME_ERROR_SECONDS = 1.0
"""What a time may be off where only the arrival of a push told it."""


async def killed(program: Program, moments: Iterable[float]) -> None:
    """Kill a process as often as there are moments, each so many seconds after its start."""
    for moment in moments:
        await asyncio.sleep(moment)
        program.kill()
        program.start()


async def drained(made: Province, seconds: float = 30.0) -> None:
    """Wait for a moment in which nothing on the PCs' disks is not at the centre as well."""
    await until(lambda: not _waiting(made.folder), seconds=seconds, what="drained")


async def fresh(made: Province) -> None:
    """Wait until every agent has handed over something that was not there before."""
    before = newest(made.folder)
    await until(
        lambda: heard_since(made.folder, before) == made.agents.keys(), seconds=30, what="all heard"
    )


def ended(made: Province) -> None:
    """End all in order, the agents first."""
    for agent in made.agents.values():
        assert agent.stop() == 0
    assert made.collector.stop() == 0


async def settled(
    made: Province, *, causes: Iterable[str] = (), ahead: Callable[[], int] = lambda: 0
) -> None:
    """End all in order; hold account and ledger; only incidents of these causes were ever opened.

    `ahead` returns how many attempts are of hours that have not come yet by the centre's clock.
    """
    await fresh(made)
    await drained(made)
    ended(made)
    hold_ledger(made.folder, account(made.folder).hold(), ahead=ahead())
    assert verify(made.folder / "state" / "journal.sqlite").broken == 0
    wrong = [one for one in opened(made.folder) if one.cause not in causes]
    assert not wrong, wrong


def opened(folder: Path) -> list[Incident]:
    """Return every incident that was ever opened, oldest first."""
    with closing(open_reader(folder / "state" / "state.sqlite")) as database:
        rows = database.execute("SELECT body FROM incidents ORDER BY number").fetchall()
    return [msgspec.json.decode(body, type=Incident) for (body,) in rows]


def worst_time(folder: Path) -> float:
    """Return by how many seconds the corrected times are off at most; the clock is this machine's."""
    truth = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(
        abs(at - truth - sample.start.mono_ns / 1e9)
        for entry in journal(folder)
        for at, sample in zip(entry.times, entry.batch.samples, strict=True)
    )


def newest(folder: Path) -> int:
    """Return the id of the journal's newest entry."""
    with closing(open_reader(folder / "state" / "journal.sqlite")) as database:
        return int(database.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0])


async def grown(folder: Path) -> None:
    """Wait until the journal has taken something that was not there before."""
    before = newest(folder)
    await until(lambda: newest(folder) > before, seconds=20, what="a batch taken")


def last_segment(folder: Path, agent: str) -> int:
    """Return the number of the newest segment that an agent has written to."""
    spool = folder / agent / "state" / "spool"
    return max((int(path.stem) for path in spool.glob("*.seg") if _size(path)), default=0)


def heard_since(folder: Path, entry: int) -> set[str]:
    """Return the agents of which the journal has taken something behind an entry."""
    with closing(open_reader(folder / "state" / "journal.sqlite")) as database:
        rows = database.execute(
            "SELECT DISTINCT agent FROM entries JOIN boots ON boots.id = entries.boot"
            " WHERE entries.id > ?",
            (entry,),
        )
        return {agent for (agent,) in rows}


def moments(rng: random.Random, times: int, longest: float) -> list[float]:
    """Return so many waits in seconds, any from none to the longest."""
    return [rng.uniform(0.0, longest) for _ in range(times)]


def _waiting(folder: Path) -> int:
    with closing(open_reader(folder / "state" / "journal.sqlite")) as database:
        stored = set(
            database.execute(
                "SELECT agent, boots.boot, seq FROM entries JOIN boots ON boots.id = entries.boot"
            )
        )
    return sum(
        (spool.parent.parent.name, record.boot, record.seq) not in stored
        for spool in folder.glob("*/state/spool")
        for record in _records(spool)
    )


def _records(spool: Path) -> Iterator[segments.Record]:
    for path in spool.glob("*.seg"):
        try:
            yield from segments.scan(path.read_bytes())[0]
        except FileNotFoundError:  # all of it is at the centre
            continue


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
