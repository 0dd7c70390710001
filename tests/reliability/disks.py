"""Disks of a test's own: small ones that run full, and one whose power is cut. Needs root."""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import segments
from tests.programs import program, root
from tests.waiting import until_sync


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Lay a small file system over a folder, which is made if need be."""
    root()
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave not a byte free on the disk of a folder, for a while."""
    ballast = folder.parent / "ballast" if not folder.is_mount() else folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
    try:
        yield
    finally:
        ballast.unlink()


class PcDisk:
    """An ext4 of its own on a folder, which loses power: what the kernel only had in memory is gone.

    The power cut is a copy of the device's blocks as they are at that moment, mounted in its place:
    the file system's own recovery decides what of the writes that nobody had waited for is seen.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        """Make and mount it; `folder` is made if need be."""
        root()
        self._image, self._folder = image, folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(8 << 20)
        _run(program("mkfs.ext4"), "-q", "-m", "0", str(image))
        self._mount()
        folder.chmod(0o700)

    def lose_power(self) -> None:
        """Cut the power. Nobody who wrote there runs any more."""
        after, writes = self._image.with_suffix(".after"), -1
        while writes != self._writes():  # the kernel itself may be writing: blocks of one moment
            writes = self._writes()
            shutil.copyfile(self._image, after)
        self.unmount()
        after.replace(self._image)
        self._mount()

    def unmount(self) -> None:
        """Take it away, as soon as the last process that had it is gone."""
        until_sync(self._unmounted, seconds=20, what=f"{self._folder} unmounted")

    def _unmounted(self) -> bool:
        done = subprocess.run(
            ["umount", str(self._folder)], check=False, capture_output=True, timeout=20
        )
        return done.returncode == 0

    def _mount(self) -> None:
        # Five minutes: nothing reaches the disk for being old, only because somebody waits for it.
        _run("mount", "-o", "loop,commit=300", str(self._image), str(self._folder))
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self._folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        self._stat = Path("/sys/block", Path(found.stdout.strip()).name, "stat")

    def _writes(self) -> int:
        return int(self._stat.read_text("ascii").split()[4])


SLOW = """\
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void wait(void) { usleep(atoi(getenv("SYNC_MICROSECONDS"))); }
int fsync(int fd) { wait(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait(); return syscall(SYS_fdatasync, fd); }
"""


def slow_syncs(folder: Path, seconds: float) -> list[str]:
    """Return what runs a command on a slow disk: each wait for it takes so much longer.

    Meanwhile all that was written is in the kernel's memory only, where a power cut finds it.
    """
    library = folder / "slow.so"
    (folder / "slow.c").write_text(SLOW, "ascii")
    _run(program("gcc"), "-O2", "-shared", "-fPIC", "-o", str(library), str(folder / "slow.c"))
    return ["env", f"LD_PRELOAD={library}", f"SYNC_MICROSECONDS={seconds * 1e6:.0f}"]


def torn(spool: Path, chance: random.Random) -> None:
    """Leave what the last writes may leave behind what is on the disk: half a record, zeros, noise."""
    written = [path for path in spool.glob("*.seg") if path.stat().st_size]
    if written:
        newest = max(written)
        data = newest.read_bytes()
        records = segments.scan(data)[0]
        _append(newest, data[records[-1].start :] if records else data, chance)
    if (spool / "acked").exists():
        _append(spool / "acked", os.urandom(37), chance)


def _append(path: Path, record: bytes, chance: random.Random) -> None:
    half = record[: chance.randrange(len(record))]
    tail = chance.choice([b"", half, bytes(len(half)), chance.randbytes(len(half))])
    with path.open("ab") as file:
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=20)
