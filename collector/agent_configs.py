"""What each agent is told, encoded and numbered.

A version rises whenever an agent's content changes and never goes back: agents take an older one
for a mistake. It starts from the time of day, so that a collector that lost its state still goes
on above every number it ever gave out.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.config import AgentConfig
from collector.database import open_database
from collector.inventory.model import Inventory, Profile

log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS agent_configs (
    agent TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""


class Told(Struct, frozen=True):
    """One agent's configuration, as `GET /api/v1/config` answers it."""

    version: int
    body: bytes

    @property
    def etag(self) -> str:
        """Return the HTTP entity tag."""
        return f'"{self.version}"'


class AgentConfigs:
    """The configurations in force, and the numbers given so far, on disk."""

    def __init__(self, path: Path) -> None:
        self.told: Mapping[str, Told] = {}
        """By agent."""
        self._database = open_database(path, _SCHEMA)
        self._failing = False
        self._followed: tuple[Inventory | None, Profile | None] = (None, None)

    async def follow(self, inventory: Inventory, now: float) -> None:
        """Bring `told` to an inventory and the profile in force; cheap while both stay.

        While the disk takes no number, agents go on by what they were told.
        """
        profile = inventory.profile_at(datetime.fromtimestamp(now, UTC))
        known, known_profile = self._followed
        if inventory is not known or profile != known_profile:
            try:
                self.told = await asyncio.to_thread(self._number, inventory, profile, now)
            except (sqlite3.Error, OSError) as exc:
                if not self._failing:  # the first of a streak
                    log.error("configurations cannot be numbered error=%s", exc)  # noqa: TRY400 - no bug of ours
                self._failing = True
                return
            self._failing = False
            self._followed = (inventory, profile)
            log.info(
                "configurations in force agents=%d batch_seconds=%g",
                len(self.told),
                profile.batch_seconds,
            )

    def _number(self, inventory: Inventory, profile: Profile, now: float) -> Mapping[str, Told]:
        known = {
            agent: (version, content)
            for agent, version, content in self._database.execute(
                "SELECT agent, version, content FROM agent_configs"
            )
        }
        told = {}
        risen = []
        for agent, config in inventory.configs.items():
            wanted = by_profile(config, profile, inventory.profiles[inventory.default_profile])
            content = sha256(msgspec.json.encode(wanted)).digest()
            version, kept = known.get(agent, (0, b""))
            if content != kept:
                version = max(version + 1, int(now))
                risen.append((agent, version, content))
            told[agent] = Told(version, msgspec.json.encode(replace(wanted, version=version)))
        if risen:
            with self._database.transaction():
                self._database.executemany(
                    "INSERT OR REPLACE INTO agent_configs VALUES (?, ?, ?)", risen
                )
        return told

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def forget_versions(path: Path) -> None:
    """Let every configuration get a number of its own: agents were told higher ones than we know."""
    with closing(open_database(path, _SCHEMA)) as database:
        database.execute("DELETE FROM agent_configs")


def by_profile(config: AgentConfig, profile: Profile, default: Profile) -> AgentConfig:
    """Return a configuration of the default profile at another profile's pace."""
    factor = profile.interval_factor / default.interval_factor
    checks = [
        replace(check, interval_seconds=check.interval_seconds * factor) for check in config.checks
    ]
    return replace(config, version=0, batch_seconds=profile.batch_seconds, checks=checks)
