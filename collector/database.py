"""How every SQLite file of the collector is opened."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Database(sqlite3.Connection):
    """A connection that begins no transaction by itself."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written inside, or nothing of it when anything raises."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read inside as of one moment, whatever is written meanwhile."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    def pragma(self, name: str) -> int:
        """Return a number SQLite knows about itself."""
        (value,) = self.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def open_database(path: Path, schema: str, *, durable: bool = True) -> Database:
    """Open or make a file that only its owner may read; sqlite3.Error or OSError if it cannot be.

    `durable`: a commit returns after the fsync (WAL with synchronous=FULL). Without it a power cut
    can take the last commits, never the file's soundness. May be handed from thread to thread, but
    is used by one at a time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(
        os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    )  # SQLite gives -wal and -shm the same mode
    connection = sqlite3.connect(
        path, timeout=5.0, isolation_level=None, check_same_thread=False, factory=Database
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> Database:
    """Open a file that exists, for reading only: never waits for the writer, never holds it up."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
        factory=Database,
    )
    connection.execute("PRAGMA query_only = ON")
    return connection
