"""The centre's configuration: fetched, held against the agent's own limits, kept for the next start."""

import logging
import os
from pathlib import Path

from agent.config import AgentConfig, decode_agent_config
from agent.strict import ConfigError

log = logging.getLogger(__name__)


class LastGood:
    """The newest configuration that was found good, on disk: the agent starts without the centre."""

    def __init__(self, path: Path, agent: str) -> None:
        self._path = path
        self._agent = agent
        self.etag = ""
        """Names the kept bytes to the centre; "" before the first."""

    def read(self) -> AgentConfig | None:
        """Return what was kept; None when there is nothing usable, which is logged."""
        try:
            etag, _, body = self._path.read_bytes().partition(b"\n")
            config = decode_agent_config(body, self._agent)
        except FileNotFoundError:
            return None
        except (OSError, ConfigError) as exc:
            log.warning("kept configuration is unusable: file=%s why=%s", self._path, exc)
            return None
        self.etag = etag.decode("ascii", "replace")
        return config

    def accept(self, body: bytes, etag: str, current: int) -> AgentConfig:
        """Check a fetched configuration and keep it. ConfigError says everything that is wrong.

        A version older than the one in force is refused: going back takes a signed rollback.
        """
        config = decode_agent_config(body, self._agent)
        if config.version < current:
            raise ConfigError(
                [f"configuration {config.version} is older than {current}, which is in force"]
            )
        self.etag = etag
        try:
            self._keep(etag.encode("ascii", "replace") + b"\n" + body)
        except OSError as exc:  # in force all the same; fetched again at the next start
            log.warning("configuration cannot be kept: file=%s why=%s", self._path, exc)
        return config

    def _keep(self, content: bytes) -> None:
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
