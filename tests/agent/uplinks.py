"""An uplink with its spool, against a centre of ours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from agent import uplink as uplink_module
from agent.config import CollectorAddress, Line, SpoolLimits
from agent.spool import Spool
from agent.uplink import Status, Uplink
from agent.wire import Slot
from tests.agent.batches import BOOT, MACHINE_BOOT, make_batch
from tests.agent.centre import Centre
from tests.agent.spools import body_of

QUICK = {
    "SLACK_SECONDS": 0.01,
    "LOOK_SECONDS": 0.02,
    "STANDBY_SECONDS": 0.1,
    "HOLD_SECONDS": 0.4,
    "RETRY_SECONDS": 0.02,
    "LIVE_RETRY_SECONDS": 0.1,
    "DEFER_SECONDS": 0.1,
    "BACKLOG_RETRY_SECONDS": 0.1,
    "SPREAD_SECONDS": 0.0,
}
"""Pauses of a test; what is measured in a test keeps the real ones."""


@dataclass
class Agent:
    """What a test holds of an agent."""

    uplink: Uplink
    spool: Spool
    status: Status = field(
        default_factory=lambda: Status(
            agent="08545", boot=BOOT, machine_boot=MACHINE_BOOT, synchronised=True, config=7
        )
    )
    configs: list[int] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)

    def seal(self, number: int = 1, **batch) -> None:
        """Put batches in the spool and wake the uplink, as the agent does."""
        for _ in range(number):
            self.spool.append(make_batch(**batch))
        self.uplink.wake()

    def failing(self, line: str = "") -> str:
        """Say why the line failed last."""
        return self.uplink._lines._ways[line].failing if self.uplink._lines._ways else ""


def quicken(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Shorten the uplink's pauses."""
    for name, value in (QUICK | seconds).items():
        monkeypatch.setattr(uplink_module, name, value)


@asynccontextmanager
async def running_agent(
    folder: Path,
    centre: Centre | str,
    *,
    lines: Sequence[Line] = (),
    ca_file: Path | None = None,
    limits: SpoolLimits | None = None,
    batch_seconds: float = 0.1,
    run: bool = True,
) -> AsyncIterator[Agent]:
    """Run an uplink; afterwards it is ended and closed."""
    token = folder / "token"
    if not token.exists():
        token.write_text("secret\n")
    url = centre if isinstance(centre, str) else centre.url
    address = CollectorAddress(url=url, token_file=token, ca_file=ca_file)
    spool = Spool(folder / "spool", limits or SpoolLimits(), boot=BOOT)
    agent = Agent(None, spool)  # type: ignore[arg-type]  # the uplink needs the agent
    agent.uplink = Uplink(
        address,
        lines,
        spool,
        lambda: agent.status,
        agent.configs.append,
        on_slots=agent.slots.extend,
    )
    agent.uplink.batch_seconds = batch_seconds
    task = asyncio.create_task(agent.uplink.run()) if run else None
    try:
        yield agent
        assert task is None or not task.done(), "the uplink ended by itself"
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await agent.uplink.close()
        spool.close()


def everything(number: int, boot: str = BOOT) -> dict[tuple[str, int], bytes]:
    """Return what a centre must have stored of batches of one sample."""
    return {(boot, seq): body_of(make_batch(boot=boot), seq) for seq in range(1, number + 1)}


def html(status: int) -> web.Response:
    """Return a page as proxies and captive portals write them."""
    return web.Response(status=status, text="<html>no</html>", content_type="text/html")
