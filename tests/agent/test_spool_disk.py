"""A disk that is full, read-only or not there: told, never raised, and nothing is lost meanwhile."""

import logging
import os
import resource
import subprocess
from contextlib import contextmanager

import pytest

from agent.spool import LIVE_BATCHES, MEMORY_BYTES
from agent.wire import Ack
from tests.agent.batches import BOOT, OLD_BOOT, WALL_MS, make_batch
from tests.agent.spools import EVERYTHING, SMALL, ack, appended, body_of, fill, lanes, opened, seqs
from tests.programs import root


def test_goes_on_in_memory_while_there_is_no_disk(tmp_path, caplog):
    """Batches go live from memory; when the disk is back they are on it, bytes and numbers kept."""
    in_the_way = tmp_path / "state"
    in_the_way.write_bytes(b"")
    with opened(in_the_way / "spool") as spool:
        appended(spool, LIVE_BATCHES + 2)

        assert spool.state.failing == "Not a directory"
        assert spool.state.pending_batches == LIVE_BATCHES + 2
        assert spool.state.oldest_pending_ms == WALL_MS
        live, backlog = lanes(spool)
        assert seqs(backlog) == [1, 2]
        spool.acknowledge([ack(1, 1)])
        spool.release([*live, *backlog])
        in_the_way.unlink()
        appended(spool, 1)

        assert spool.state.failing == ""
        assert spool.state.pending_batches == LIVE_BATCHES + 2
    with opened(in_the_way / "spool", boot=OLD_BOOT) as spool:
        assert spool.backlog(EVERYTHING)[0].body == body_of(make_batch(), 2)
        spool.release([])
        assert spool.state.pending_batches == LIVE_BATCHES + 2
    told = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1, "told once, not each second"
    assert told[0].startswith("spool: the disk refuses ")


def test_waits_for_the_disk_before_it_returns(tmp_path, monkeypatch):
    """All that was written is asked to be on disk; what pretends so only a power cut would show."""
    synced = []
    real = os.fdatasync

    def recorded(fd):
        real(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", recorded)
    with opened(tmp_path) as spool:
        for number in (1, 2, 3):
            appended(spool, 1)

            assert len(synced) == number
            assert synced[-1] == next(tmp_path.glob("*.seg")).stat().st_size


def test_memory_is_bounded_and_what_it_gives_up_is_counted(tmp_path):
    """Without a disk the newest few minutes are kept, the rest is counted as dropped."""
    (tmp_path / "state").write_bytes(b"")
    with opened(tmp_path / "state" / "spool") as spool:
        for _ in range(30):
            spool.append(make_batch(samples=2000, detail="x" * 10))
        state = spool.state

        assert 0 < state.pending_bytes <= MEMORY_BYTES
        assert state.dropped_batches + state.pending_batches == 30
        assert state.dropped_batches > 0
        assert seqs(spool.live(EVERYTHING))[-1] == 30


@contextmanager
def no_file_larger_than(size: int):
    """Let the kernel refuse to let files of this process grow, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100, 500, 1000])
def test_a_write_that_stops_half_way_is_taken_back(tmp_path, room):
    """What the disk took of a record is cut off; batch and number live on in memory."""
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        appended(spool, 2, boot=OLD_BOOT)
        size = next(tmp_path.glob("*.seg")).stat().st_size
        with no_file_larger_than(size + room):
            while not spool.state.failing:
                last = appended(spool, 1, boot=OLD_BOOT)[0]
            state = spool.state
        assert (state.failing, state.pending_batches) == ("File too large", last)
        appended(spool, 1, boot=OLD_BOOT)
        assert (spool.state.failing, spool.state.pending_batches) == ("", last + 1)
    with opened(tmp_path) as spool:
        assert seqs(spool.backlog(EVERYTHING)) == list(range(1, last + 2))
        assert spool.state.damaged_records == 0


@pytest.mark.real
def test_a_full_disk(tmp_path):
    """No space at all: live goes on from memory, acknowledgements count; with space it goes on."""
    root()
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(disk)], check=True
    )
    try:
        with opened(disk / "spool", boot=OLD_BOOT) as spool:
            appended(spool, 10, boot=OLD_BOOT)
            filler = disk / "filler"
            with filler.open("wb") as file, pytest.raises(OSError):
                file.write(bytes(1 << 20))
            appended(spool, 40, boot=OLD_BOOT)

            assert spool.state.failing == "No space left on device"
            assert seqs(spool.live(EVERYTHING)) == list(range(51 - LIVE_BATCHES, 51))
            spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 5), (49, 50)])])
            assert spool.state.pending_batches == 43
            filler.unlink()
            appended(spool, 1, boot=OLD_BOOT)
            assert spool.state.failing == ""
            assert spool.state.pending_batches == 44
        with opened(disk / "spool") as spool:
            assert seqs(spool.backlog(EVERYTHING)) == [*range(6, 49), 51]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.real
def test_a_disk_that_became_read_only(tmp_path):
    """What is on it is still sent, what is new goes through memory, and nothing is raised."""
    root()
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], check=True)
    try:
        expected = fill(disk / "spool", 9)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with opened(disk / "spool", SMALL) as spool:
            appended(spool, 1)

            assert spool.state.failing == "Read-only file system"
            backlog = spool.backlog(EVERYTHING)
            assert {pending.seq: pending.body for pending in backlog} == expected
            assert seqs(spool.live(EVERYTHING)) == [1]
            spool.acknowledge(
                [Ack(boot=OLD_BOOT, ranges=[(1, 9)]), Ack(boot=BOOT, ranges=[(1, 1)])]
            )
            assert spool.state.pending_batches == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
