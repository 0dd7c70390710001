"""The spool of a real process that is killed at random moments of its writing."""

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from agent.config import SpoolLimits
from agent.spool import Spool
from agent.wire import Ack
from tests.agent.batches import OLD_BOOT, make_batch
from tests.agent.spools import EVERYTHING, body_of, opened
from tests.waiting import until_sync

KILLS = 50
LIMITS = SpoolLimits(max_bytes=30_000)
forking = multiprocessing.get_context("forkserver")


def live(directory: Path, boot: str, told: Path) -> None:
    """Seal, send and be acknowledged for ever; tell of each batch sealed and acknowledged."""
    out = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    spool = Spool(directory, LIMITS, boot=boot)
    chance = random.Random(boot)
    while True:
        spool.append(make_batch(boot=boot))
        os.write(out, b"sealed %s %d\n" % (boot.encode(), spool._seq))
        if chance.random() < 0.15:
            taken = spool.backlog(chance.choice([1, 3_000])) or spool.live(1)
            for one in taken:
                os.write(out, b"acked %s %d\n" % (one.boot.encode(), one.seq))
                spool.acknowledge([Ack(boot=one.boot, ranges=[(one.seq, one.seq)])])
            spool.release(taken)


def told_of(told: Path) -> dict[str, set[tuple[str, int]]]:
    """Return which batches were told to be sealed and acknowledged."""
    found: dict[str, set[tuple[str, int]]] = {"sealed": set(), "acked": set()}
    for line in told.read_bytes().splitlines(keepends=True) if told.exists() else ():
        if line.endswith(b"\n"):
            what, boot, seq = line.decode().split()
            found[what].add((boot, int(seq)))
    return found


@pytest.mark.slow
def test_50_kills_at_random_moments_lose_no_batch_that_was_sealed(tmp_path):
    """One spool, killed again and again: all sealed is there, acknowledged, or counted as dropped."""
    directory, told = tmp_path / "spool", tmp_path / "told"
    forking.set_forkserver_preload([__name__])
    chance = random.Random(4)
    most = 0
    for number in range(1, KILLS + 1):
        before = len(told_of(told)["sealed"])
        child = forking.Process(target=live, args=(directory, f"{number:032x}", told))
        child.start()
        try:
            until_sync(lambda: len(told_of(told)["sealed"]) > before, seconds=30, what="a batch")  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.05))
        finally:
            child.kill()
            child.join(10)
        said = told_of(told)
        with opened(directory, LIMITS, boot=OLD_BOOT) as spool:
            found = spool.backlog(EVERYTHING)
            state = spool.state
        keys = {one.key for one in found}
        assert len(keys) == len(found)
        for one in found:
            assert one.body == body_of(make_batch(boot=one.boot), one.seq)
        missing = said["sealed"] - said["acked"] - keys
        assert len(missing) <= state.dropped_batches
        assert state.damaged_records == 0, "a killed process leaves half a record only at the end"
        most = max(most, len(found))
    print(
        f"{KILLS} kills, {len(said['sealed'])} sealed, {len(said['acked'])} acknowledged,"
        f" {state.dropped_batches} dropped and counted, at most {most} waiting"
    )
