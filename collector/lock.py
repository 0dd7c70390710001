"""The state directory's lock: two collectors on one journal would each think to be its only writer."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"


class InUseError(Exception):
    """Another process works on the state directory; the message is for people."""


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold a state directory, which is made if need be, for ourselves."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise InUseError(f"{state}: another collector is running on this folder") from exc
    try:
        yield
    finally:
        os.close(descriptor)
