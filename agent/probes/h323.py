"""H.323: whether a conference bridge or endpoint takes a call's connection and keeps it.

Nothing is said inside: a SETUP would ring a real room.
"""

import asyncio
import socket
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.net import connect, refuse_host_port, resolve, split_host_port

CHUNK_BYTES = 1 << 16


class H323Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an H.323 probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    hold_seconds: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    """How long the other side must keep a connection on which nothing is said."""


class H323:
    """Opens one connection to the call signalling port (1720), holds it and closes it."""

    kind: ClassVar[str] = "h323"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = H323Params
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "hold")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
    )

    def __init__(self, params: H323Params, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: H323Params) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Connect and hold. A filter or a bridge without a free port breaks off what it took."""
        host, port = split_host_port(target.name)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        with rec.phase("connect"):
            sock = await connect(address, port, target)
        with sock, rec.phase("hold"):
            try:
                async with asyncio.timeout(self._params.hold_seconds) as held:
                    await _until_closed(sock)
            except TimeoutError:
                if not held.expired():
                    raise
                return
            raise EOFError(
                f"found the connection closed, expected it held for {self._params.hold_seconds:g} s"
            )


async def _until_closed(sock: socket.socket) -> None:
    """Wait until the other side ends the connection. OSError when it breaks it."""
    loop = asyncio.get_running_loop()
    while True:
        if not await loop.sock_recv(sock, CHUNK_BYTES):
            return
        await asyncio.sleep(0)  # what is there is read without waiting: a flood would hold the loop
