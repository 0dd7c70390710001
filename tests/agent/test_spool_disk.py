"""A disk that is full, read-only or not there: told, never raised, and nothing is lost meanwhile."""

import logging
import os
import resource
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.spool import LIVE_BATCHES, MEMORY_BYTES
from agent.wire import Ack
from tests.agent.batches import BOOT, OLD_BOOT, WALL_MS, make_batch
from tests.agent.spools import EVERYTHING, SMALL, ack, appended, body_of, fill, lanes, opened, seqs
from tests.programs import program, root


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


@contextmanager
def ext4(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system of 8 MB in a file, which becomes read-only upon an error."""
    root()
    image, disk = folder / "image", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    command = [program("mkfs.ext4"), "-q", "-m", "0", "-e", "remount-ro", *options, str(image)]
    subprocess.run(command, check=True)
    mount(image, disk)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(image: Path, disk: Path) -> None:
    """Mount what `ext4` made."""
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)


@pytest.mark.real
def test_a_disk_that_becomes_read_only_by_an_error(tmp_path):
    """As ext4 does: what is on it is still sent, what is new goes through memory, nothing is lost."""
    with ext4(tmp_path) as disk:
        expected = fill(disk / "spool", 9)
        with opened(disk / "spool", SMALL) as spool:
            appended(spool, 1)
            device = subprocess.run(
                ["findmnt", "-no", "SOURCE", str(disk)], check=True, capture_output=True, text=True
            ).stdout.strip()
            Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("lost", "ascii")
            appended(spool, 2)

            assert spool.state.failing in {"Read-only file system", "Input/output error"}
            live, backlog = lanes(spool)
            assert {one.seq: one.body for one in backlog} == expected
            assert seqs(live) == [1, 2, 3]
            spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 4)]), ack(2, 3)])
            spool.release([*live, *backlog])
            assert spool.state.pending_batches == 6
        subprocess.run(["umount", str(disk)], check=True)
        subprocess.run([program("e2fsck"), "-fy", str(tmp_path / "image")], check=False)
        mount(tmp_path / "image", disk)
        with opened(disk / "spool", SMALL, boot="aa" * 16) as spool:
            keys = [one.key for one in spool.backlog(EVERYTHING)]
            assert keys == [*((OLD_BOOT, seq) for seq in range(1, 10)), (BOOT, 1)], "sent again"
            assert spool.state.damaged_records == 0
            assert spool.state.dropped_batches == 0


@pytest.mark.real
def test_a_disk_that_was_read_only_for_a_while(tmp_path):
    """When it can be written again, what waited in memory is on it, with its bytes and numbers."""
    with ext4(tmp_path) as disk:
        expected = fill(disk / "spool", 9)
        with opened(disk / "spool", SMALL) as spool:
            spool._store._acked.close()  # a file open for writing keeps a disk from changing
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            appended(spool, LIVE_BATCHES + 2)
            assert spool.state.failing == "Read-only file system"
            live, backlog = lanes(spool)
            assert {one.seq: one.body for one in backlog if one.boot == OLD_BOOT} == expected
            assert seqs(backlog)[9:] == [1, 2]
            spool.release([*live, *backlog])
            spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 4)]), ack(1, 1)])
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            appended(spool, 1)
            assert spool.state.failing == ""
        with opened(disk / "spool", SMALL, boot="aa" * 16) as spool:
            keys = [one.key for one in spool.backlog(EVERYTHING)]
            assert len(keys) == len(set(keys))
            assert set(keys) >= {
                *((OLD_BOOT, seq) for seq in range(5, 10)),
                *((BOOT, seq) for seq in range(2, LIVE_BATCHES + 4)),
            }


@pytest.mark.real
def test_no_file_can_be_made_any_more(tmp_path):
    """Out of inodes, the segment that is open goes on; the next one waits, in memory, and is told."""
    with ext4(tmp_path, "-N", "32") as disk:
        with opened(disk / "spool", SMALL, boot=OLD_BOOT) as spool:
            appended(spool, 1, boot=OLD_BOOT)
            made = [disk / f"other-{number}" for number in range(32)]
            with pytest.raises(OSError, match="No space left on device"):
                deque(map(Path.touch, made), maxlen=0)
            appended(spool, 9, boot=OLD_BOOT)

            assert spool.state.failing == "No space left on device"
            assert spool.state.pending_batches == 10
            assert seqs(spool.live(EVERYTHING)) == list(range(3, 11))
            spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 1)])])
            for path in made:
                path.unlink(missing_ok=True)
            appended(spool, 1, boot=OLD_BOOT)
            assert spool.state.failing == ""
        with opened(disk / "spool", SMALL) as spool:
            assert seqs(spool.backlog(EVERYTHING)) == list(range(2, 12))
            assert spool.state.dropped_batches == 0
