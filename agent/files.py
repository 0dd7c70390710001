"""Files that outlive a power cut, and the folder that holds them."""

import errno
import fcntl
import os
from pathlib import Path

DAMAGED = ".damaged"
UNREADABLE = ".unreadable"
NEW = ".new"
SEGMENT = ".seg"


class SpoolInUseError(Exception):
    """Another agent works on this directory."""


def take_directory(directory: Path) -> tuple[int, bool]:
    """Make a directory ours alone, until the returned descriptor is closed.

    Returns also whether something else stood in its place and was put beside. SpoolInUseError
    when another process has it; OSError when it can be neither made nor read.
    """
    replaced = False
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        put_beside(directory)
        directory.mkdir(mode=0o700)
        replaced = True
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_mode & 0o077:
            os.fchmod(fd, 0o700)
    except BlockingIOError as exc:
        os.close(fd)
        raise SpoolInUseError(f"{directory}: another agent uses this spool") from exc
    except OSError:
        os.close(fd)
        raise
    return fd, replaced


def put_beside(path: Path) -> None:
    """Give a file another name, so that nothing reads it but a person."""
    beside = path.with_name(path.name + UNREADABLE)
    number = 1
    while beside.exists():
        number += 1
        beside = path.with_name(f"{path.name}.{number}{UNREADABLE}")
    path.rename(beside)


def beside_bytes(directory: Path) -> int:
    """Return how much lies in a spool's directory beside its segments; tidy up what was begun."""
    total = 0
    for path in directory.iterdir():
        if path.suffix == NEW:
            path.unlink()
        elif path.suffix != SEGMENT and path.name != "acked":
            total += path.stat().st_size
    return total


def clear_beside(directory: Path) -> int:
    """Make room: take away what is damaged. Return how much still lies beside the segments."""
    for path in directory.iterdir():
        if path.suffix in {DAMAGED, UNREADABLE} and path.is_file():
            path.unlink()
    return beside_bytes(directory)


def read(path: Path, at_most: int) -> bytes:
    """Read a file of ours; OSError when it cannot be read or is too large to be one."""
    if path.stat().st_size > at_most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another: after a power cut one of the two is there, whole."""
    new = path.with_name(path.name + NEW)
    _write(new, data, os.O_TRUNC)
    new.replace(path)
    sync_directory(path.parent)


def append(path: Path, data: bytes) -> None:
    """Add to a file and wait until it is on disk."""
    _write(path, data, os.O_APPEND)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, data: bytes, how: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
