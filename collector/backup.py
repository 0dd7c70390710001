"""Backup and restore of a collector's state directory.

A backup is one folder: every file of the state directory, and `backup.json`, which names them with
their SHA-256. The journal is copied last, so that all that is derived from it is older than it and
catches up. The collector may run meanwhile: SQLite copies each file as of one moment.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from hashlib import file_digest
from pathlib import Path

import msgspec
from msgspec import Struct

from agent import VERSION
from collector.agent_configs import forget_versions
from collector.database import open_reader
from collector.diagnosis.store import note_restore
from collector.ingest.chain import read_head
from collector.ingest.writer import Writer
from collector.lock import LOCK, alone

FORMAT = 1
MANIFEST = "backup.json"
JOURNAL = "journal.sqlite"
RESTORING = ".restoring"
_NOT_STATE = (LOCK, RESTORING, "*.sock", "*.sqlite-wal", "*.sqlite-shm", "*.sqlite-journal")


class BackupError(Exception):
    """It cannot be made, or cannot be put back; the message is for people."""


class File(Struct, frozen=True):
    """One file of a backup."""

    name: str
    """With its folder, relative."""
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """backup.json."""

    format: int
    program: str
    made_at: float
    """UTC seconds before the first file was copied: all that was acknowledged by then is in it."""
    newest_entry: int
    newest_hash: str
    """Of the journal: what a report is proven with."""
    files: list[File]


def backup(state: Path, out: Path, now: float) -> Manifest:
    """Copy a state directory to a folder that is not there yet; on disk, and whole, or not at all."""
    if not (state / JOURNAL).is_file():
        raise BackupError(f"{state}: there is no {JOURNAL}, expected a collector's state directory")
    if out.exists():
        raise BackupError(f"{out} is there already, expected a new name")
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        databases = sorted(p for p in state.glob("*.sqlite") if p.name != JOURNAL)
        shutil.copytree(
            state,
            making,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(*_NOT_STATE, "*.sqlite"),
        )
        for path in (*databases, state / JOURNAL):
            _copy_database(path, making / path.name)
        with closing(open_reader(making / JOURNAL)) as database:
            newest = read_head(database)
        manifest = Manifest(
            format=FORMAT,
            program=VERSION,
            made_at=now,
            newest_entry=newest.id,
            newest_hash=newest.hash.hex(),
            files=[_described(path, making) for path in _files(making)],
        )
        (making / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        _sync(making)
        making.rename(out)
        _sync_one(out.parent)
    except BaseException:
        shutil.rmtree(making)
        raise
    return manifest


def restore(source: Path, state: Path, now: float) -> Manifest:
    """Put a backup into an empty state directory, whose collector does not run.

    What was acknowledged after the backup is not in it. What agents still hold of that, or have
    yet to hand over, they send, and it is taken as ever: each batch has its own identity.
    """
    manifest = _checked(source)
    with alone(state):
        found = sorted(p.name for p in state.iterdir() if p.name not in {LOCK, RESTORING})
        if found:
            raise BackupError(f"{state} is not empty ({found[0]} …), move it away first")
        making = state / RESTORING
        if making.exists():  # one that was interrupted
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        for file in manifest.files:
            (making / file.name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(source / file.name, making / file.name)
            (making / file.name).chmod(0o600)
        forget_versions(making / "state.sqlite")
        note_restore(making / "state.sqlite", now)
        writer = Writer(making / JOURNAL)
        writer.note_restore(now, manifest.made_at)
        writer.close()
        _sync(making)
        for path in sorted(making.iterdir(), key=lambda path: path.name == JOURNAL):
            path.rename(state / path.name)
        making.rmdir()
        _sync_one(state)
    return manifest


def _checked(source: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as exc:
        raise BackupError(f"{source}: no backup of ours: {exc}") from exc
    if manifest.format != FORMAT:
        raise BackupError(
            f"{source}: found format {manifest.format}, expected {FORMAT}: use the newer program"
        )
    problems = []
    for file in manifest.files:
        path = source / file.name
        if ".." in path.parts or Path(file.name).is_absolute():
            problems.append(f"{file.name}: is no name of ours")
        elif not path.is_file():
            problems.append(f"{path}: is missing")
        elif _described(path, source) != file:
            problems.append(f"{path}: is not what was written")
    if problems:
        raise BackupError("\n".join(problems))
    return manifest


def _copy_database(path: Path, to: Path) -> None:
    """Copy as of one moment, into a file that is whole by itself. sqlite3.Error where it cannot."""
    with closing(open_reader(path)) as source, closing(sqlite3.connect(to)) as copy:
        to.chmod(0o600)
        copy.execute("PRAGMA synchronous = OFF")  # synced as a whole, afterwards
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _described(path: Path, folder: Path) -> File:
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return File(str(path.relative_to(folder)), path.stat().st_size, digest)


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
