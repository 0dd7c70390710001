"""A disk whose power is cut: what was not synced is lost in whole, in part, or as zeros.

It watches the calls with which the spool changes files. At the cut the call under way is not made,
or half of it; nothing is changed after it. Then the disk shows what a journalling file system may
show at the next start: contents as far as they were synced and some more, names as far as their
directory was synced and some more, in their order.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock


class PowerCut(BaseException):
    """Nothing runs any more."""


class Disk:
    """One directory's files, watched while the context of `watched` lasts."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.calls_left: int | None = None
        """Calls until the power is cut; None: it stays."""
        self.cuts = 0
        self._directory = directory
        self._chance = chance
        self._dead = False
        self._open: set[int] = set()
        self._synced: dict[int, int] = {}  # bytes, by inode
        self._names: list[Callable[[], None]] = []  # how to undo what no directory sync has kept
        self._real = {name: getattr(os, name) for name in _WATCHED}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let every call of this process go through the disk."""
        with mock.patch.multiple(
            os, **{name: getattr(self, _OURS.get(name, f"_{name}")) for name in _WATCHED}
        ):
            yield

    def come_back(self) -> None:
        """Show what is left after a cut."""
        self._dead, self.calls_left = False, None
        for fd in self._open:
            with suppress(OSError):
                self._real["close"](fd)
        self._open.clear()
        names, self._names = self._names, []
        for undo in reversed(names[self._chance.randint(0, len(names)) :]):
            undo()
        self._names.clear()
        for path in self._directory.rglob("*"):
            if path.is_file():
                self._lose_tail(path)
        self._synced = {p.stat().st_ino: p.stat().st_size for p in self._directory.rglob("*")}
        self.cuts += 1

    def _lose_tail(self, path: Path) -> None:
        data = path.read_bytes()
        synced = self._synced.get(path.stat().st_ino, 0)
        if synced >= len(data) or self._chance.random() < 0.3:
            return
        kept = self._chance.randint(synced, len(data))
        how = self._chance.choice(("cut", "zeros", "noise"))
        lost = len(data) - kept
        tail = {"cut": b"", "zeros": bytes(lost), "noise": self._chance.randbytes(lost)}[how]
        path.write_bytes(data[:kept] + tail)

    def _call(self) -> None:
        if self._dead:
            raise PowerCut
        if self.calls_left is not None:
            if self.calls_left <= 0:
                self._dead = True
                raise PowerCut
            self.calls_left -= 1

    # The calls

    def _open_file(self, path: Any, flags: int, mode: int = 0o777) -> int:
        self._call()
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        fd: int = self._real["open"](path, flags, mode)
        self._open.add(fd)
        if new:
            self._synced[os.fstat(fd).st_ino] = 0
            self._names.append(lambda: Path(path).unlink(missing_ok=True))
        elif flags & os.O_TRUNC:
            self._synced[os.fstat(fd).st_ino] = 0
        return fd

    def _close(self, fd: int) -> None:
        self._open.discard(fd)
        self._real["close"](fd)

    def _fdopen(self, fd: int, *args: Any, **kwargs: Any) -> Any:
        self._open.discard(fd)  # whose context closes it
        return self._real["fdopen"](fd, *args, **kwargs)

    def _write(self, fd: int, data: Any) -> int:
        try:
            self._call()
        except PowerCut:
            if self.calls_left == 0:  # the one that was under way
                self.calls_left = -1
                self._real["write"](fd, data[: self._chance.randint(0, len(data))])
            raise
        # Disks may take less than they are given.
        length = len(data) if self._chance.random() < 0.8 else self._chance.randint(1, len(data))
        return int(self._real["write"](fd, data[:length]))

    def _sync(self, fd: int) -> None:
        self._call()
        found = os.fstat(fd)
        self._synced[found.st_ino] = found.st_size
        if Path(f"/proc/self/fd/{fd}").resolve().is_dir():
            self._names.clear()

    def _ftruncate(self, fd: int, size: int) -> None:
        self._call()
        self._real["ftruncate"](fd, size)
        inode = os.fstat(fd).st_ino
        self._synced[inode] = min(size, self._synced.get(inode, 0))

    def _unlink(self, path: Any, **kwargs: Any) -> None:
        self._call()
        self._keep(Path(path))
        self._real["unlink"](path, **kwargs)

    def _replace(self, path: Any, to: Any) -> None:
        self._call()
        if os.path.lexists(to):
            self._keep(Path(to))
        else:
            self._names.append(lambda: Path(to).unlink(missing_ok=True))
        self._keep(Path(path))
        self._real["replace"](path, to)

    def _keep(self, path: Path) -> None:
        """Be able to bring a file back with what of it was synced."""
        data, synced = path.read_bytes(), self._synced.get(path.stat().st_ino, 0)

        def undo() -> None:
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            self._synced[path.stat().st_ino] = synced

        self._names.append(undo)

    _fsync = _fdatasync = _sync
    _rename = _replace


_WATCHED = (
    *("open", "close", "fdopen", "write", "fsync", "fdatasync"),
    *("ftruncate", "unlink", "rename", "replace"),
)
_OURS = {"open": "_open_file"}
