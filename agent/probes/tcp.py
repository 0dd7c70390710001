"""TCP: whether a connection can be opened. The smallest probe, and the template for a new one."""

from typing import ClassVar, Literal

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.net import connect, refuse_host_port, resolve, split_host_port


class TcpParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a TCP probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""


class Tcp:
    """Opens one connection and closes it again, without sending a byte of its own."""

    kind: ClassVar[str] = "tcp"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = TcpParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
    )

    def __init__(self, params: TcpParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: TcpParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Connect once. What fails, fails as OSError: the runner has a word for each."""
        host, port = split_host_port(target.name)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        with rec.phase("connect"):
            sock = await connect(address, port, target)
        sock.close()
