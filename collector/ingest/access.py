"""Access: which agent a request comes from.

A token reads `ts1.<agent>.<secret>`. Its secret is 256 random bits, so a single SHA-256 is hash
enough: slow password hashes protect secrets that people make up, and would cost their price at
every push. The agent's id is hashed along, so a token opens the door for that agent only.

The command line writes the same file that a running collector reads; SQLite's data_version, looked
at on every push, says when to read it again.
"""

import asyncio
import secrets
from collections.abc import Iterator
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct

from agent.config import ID
from collector.database import open_database
from collector.ingest.refused import Refused

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    ends_at REAL,
    ended_by TEXT NOT NULL DEFAULT '',
    last_used_at REAL
) STRICT;
"""
_PREFIX = "ts1"
_NEVER = -1
_NOBODY = sha256(b"nobody's token").digest()


class AccessError(Exception):
    """What was asked of the tokens cannot be done; the message is for people."""


class Token(Struct, frozen=True, kw_only=True):
    """One token, without what opens the door."""

    id: int
    agent: str
    hash: bytes
    created_at: float
    ends_at: float | None
    """From then on it is refused; None while no end is set."""
    ended_by: str
    """`rotate` or `revoke`; "" while no end is set."""
    last_used_at: float | None
    """Written once a minute."""


class Access:
    """The tokens of all agents."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = open_database(path, _SCHEMA)
        self._seen_version = _NEVER
        self._tokens: dict[str, list[Token]] = {}
        self._used: dict[int, float] = {}

    def verify(self, authorization: str | None, now: float) -> str:
        """Return the id of the agent whose token the header holds; Refused 401 or 403."""
        scheme, _, text = (authorization or "").partition(" ")
        prefix, _, rest = text.partition(".")
        agent, _, secret = rest.rpartition(".")
        if scheme.lower() != "bearer" or prefix != _PREFIX or not agent or not secret:
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "unauthorised",
                "Authorization: expected 'Bearer ts1.<agent>.<secret>', the agent's token",
            )
        self._refresh()
        digest = sha256(text.encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self._tokens.get(agent, ()):
            if compare_digest(token.hash, digest):
                found = token
        if found is None:
            compare_digest(_NOBODY, digest)  # an agent without a token takes as long as one with
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "unauthorised", f"no such token for agent {agent[:64]!r}"
            )
        if found.ends_at is not None and found.ends_at <= now:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "revoked",
                f"this token of agent {agent!r} was revoked"
                if found.ended_by == "revoke"
                else f"this token of agent {agent!r} was replaced by a newer one",
            )
        self._used[found.id] = now
        return agent

    def add(self, agent: str, now: float) -> str:
        """Make an agent's first token and return its text, which is kept nowhere."""
        _check_id(agent)
        if any(token.ends_at is None for token in self._of(agent)):
            raise AccessError(f"agent {agent!r} has a token; use rotate, or revoke it first")
        return self._make(agent, now)

    def rotate(self, agent: str, now: float, *, grace_seconds: float) -> str:
        """Make a new token; the ones before it open the door for `grace_seconds` more."""
        if not any(token.ends_at is None or token.ends_at > now for token in self._of(agent)):
            raise AccessError(f"agent {agent!r} has no token that is valid; use add")
        return self._make(agent, now, ends_others_at=now + grace_seconds)

    def revoke(self, agent: str, now: float) -> int:
        """Refuse all of an agent's tokens from now on; return how many were valid."""
        if not self._of(agent):
            raise AccessError(f"agent {agent!r} has no token")
        return self._end(agent, now, "revoke")

    def tokens(self) -> Iterator[Token]:
        """Return every token ever made, by agent and age."""
        return self._read("")

    async def save_used(self) -> None:
        """Write down when tokens were last used; called once a minute."""
        used, self._used = self._used, {}
        await asyncio.to_thread(_write_used, self._path, used)

    def close(self) -> None:
        """Write what is left, and close the file."""
        _write_used(self._path, self._used)
        self._database.close()

    def _make(self, agent: str, now: float, *, ends_others_at: float | None = None) -> str:
        text = f"{_PREFIX}.{agent}.{secrets.token_urlsafe(32)}"
        with self._database.transaction():
            if ends_others_at is not None:
                self._end(agent, ends_others_at, "rotate")
            self._database.execute(
                "INSERT INTO tokens (agent, hash, created_at) VALUES (?, ?, ?)",
                (agent, sha256(text.encode()).digest(), now),
            )
        self._seen_version = _NEVER
        return text

    def _end(self, agent: str, at: float, by: str) -> int:
        self._seen_version = _NEVER  # data_version tells of other connections' writes only
        return self._database.execute(
            "UPDATE tokens SET ends_at = ?1, ended_by = ?2"
            " WHERE agent = ?3 AND (ends_at IS NULL OR ends_at > ?1)",
            (at, by, agent),
        ).rowcount

    def _refresh(self) -> None:
        version = self._database.pragma("data_version")
        if version != self._seen_version:
            tokens: dict[str, list[Token]] = {}
            for token in self._read(""):
                tokens.setdefault(token.agent, []).append(token)
            self._tokens = tokens
            self._seen_version = version

    def _of(self, agent: str) -> list[Token]:
        return list(self._read("WHERE agent = ?", agent))

    def _read(self, condition: str, *values: str) -> Iterator[Token]:
        rows = self._database.execute(
            "SELECT id, agent, hash, created_at, ends_at, ended_by, last_used_at"  # noqa: S608 - ours
            f" FROM tokens {condition} ORDER BY agent, created_at, id",
            values,
        )
        names = Token.__struct_fields__
        for row in rows:
            yield Token(**dict(zip(names, row, strict=True)))


def _write_used(path: Path, used: dict[int, float]) -> None:
    """Write through a connection of its own, so that nobody who knocks waits for the disk."""
    if not used:
        return
    database = open_database(path, _SCHEMA, durable=False)
    try:
        with database.transaction():
            database.executemany(
                "UPDATE tokens SET last_used_at = ? WHERE id = ?",
                [(at, token) for token, at in used.items()],
            )
    finally:
        database.close()


def _check_id(agent: str) -> None:
    if not ID.fullmatch(agent):
        raise AccessError(
            f"agent {agent!r}: expected the site's code, or the code and a suffix"
            " such as 04792-ttpv (small letters, digits, '.', '_', '-', at most 64)"
        )
