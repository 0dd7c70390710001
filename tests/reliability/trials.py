"""What the trials of known failures share."""

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path

from collector.state.minutes import Track
from collector.state.rollup_read import RollupReader
from tests.e2e.province import Program
from tests.reliability.accounts import account

SITE, OTHER, THIRD = "04792", "04813", "04831"


def agent_of_clock(seconds: float) -> list[str]:
    """Return the command of an agent whose PC's wall clock is ahead by so much, or behind."""
    code = (
        "import time; right = time.time_ns;"
        f"time.time_ns = lambda: right() + {round(seconds * 1e9)};"
        "from agent.__main__ import main; main()"
    )
    return [sys.executable, "-c", code]


async def drained(folder: Path, agent: Program) -> None:
    """Wait until an agent's disk holds nothing but its newest batches that the centre has not."""
    async with asyncio.timeout(30):
        while account(folder).waiting > 2:
            assert agent.running()
            await asyncio.sleep(0.2)


def rollups(folder: Path, check: str = "portal") -> list[Track]:
    """Return what the rollups have of a check; they are saved when the collector has ended."""
    with closing(RollupReader(folder / "state" / "rollup.sqlite")) as reader:
        return reader.of_check(check, 0.0, time.time() + 86_400)


def rolled_up(folder: Path) -> int:
    """Return how many attempts of the portal the rollups have."""
    minutes = [minute for track in rollups(folder) for minute in track.minutes]
    return sum(minute.runs + minute.again for minute in minutes)
