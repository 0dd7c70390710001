"""STUN: whether UDP gets out and back, and from which address the world sees this line come."""

import secrets
import socket
from typing import ClassVar, Literal

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.net import (
    bound_socket,
    is_address,
    refuse_host_port,
    resolve,
    split_host_port,
)
from agent.probes.stun_exchange import WAITS_SECONDS, OverUdp
from agent.probes.stun_message import (
    TRANSACTION_BYTES,
    Kind,
    MalformedError,
    Message,
    Method,
    make_request,
)
from agent.wire import Failure


class StunParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a STUN probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    second: str = ""
    """Another server, host:port, asked from the same port: whether both see the same address.
    Its silence is no failure: judged is the target."""

    def __post_init__(self) -> None:
        """Refuse a second server that is none."""
        if self.second and (expected := refuse_host_port(self.second, self.ip_version)):
            raise ValueError(f"second {self.second!r}: {expected}")


class Stun:
    """Asks a server once from a new port from where it sees the question come (RFC 8489)."""

    kind: ClassVar[str] = "stun"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = StunParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "ask", "second")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("stun_attempts", "Requests sent until the answer came, or in vain: 1 to 4."),
        Value(
            "stun_rtt_seconds",
            "Round trip of the request; absent when it was repeated, as either may be answered.",
        ),
        Value(
            "stun_mapped_port_preserved",
            "1 if the port seen by the server is the one that was sent from.",
        ),
        Value(
            "stun_mapping_varies",
            "1 if two servers see different addresses or ports: calls from here need a relay.",
        ),
        Value(
            "stun_mapping_changes_total",
            "Times the address seen by the server (not its port) was another than before.",
            counter=True,
        ),
    )

    def __init__(self, params: StunParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._last_seen: dict[tuple[str, str], str] = {}

    @classmethod
    def refuse_target(cls, name: str, params: StunParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        if name == params.second:
            return "expected another server than `second`"
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask, and ask again if no answer comes; from the same port the second server too."""
        host, port = split_host_port(target.name)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with bound_socket(family, socket.SOCK_DGRAM, target.source) as sock:
            with rec.phase("ask"):
                sock.connect((address, port))
                answer = await _ask(sock, rec)
            if answer.kind is Kind.ERROR:
                code, reason = answer.error()
                rec.fail(Failure.STATUS, f"{code} {reason}")
                return
            mapped = answer.mapped()
            self._report(target, mapped, sock.getsockname()[1], rec)
            if self._params.second:
                await self._compare(sock, mapped, rec)

    def _report(self, target: Target, mapped: str, local_port: int, rec: Recorder) -> None:
        rec.fact("mapped", mapped)
        seen, port = split_host_port(mapped)
        rec.value("stun_mapped_port_preserved", int(port == local_port))
        before = self._last_seen.get((target.name, target.line), seen)
        rec.count("stun_mapping_changes_total", int(before != seen))
        self._last_seen[target.name, target.line] = seen

    async def _compare(self, sock: socket.socket, mapped: str, rec: Recorder) -> None:
        """Ask the second server, twice at most; what keeps it from answering is only a fact."""
        host, port = split_host_port(self._params.second)
        ip_version = 6 if sock.family is socket.AF_INET6 else 4
        try:
            with rec.phase("second"):
                if not is_address(host):
                    host = (await self._env.resolve(host, ip_version))[0]
                sock.connect((host, port))  # from here on only its answers come through
                request = make_request(Method.BINDING, secrets.token_bytes(TRANSACTION_BYTES))
                answer = await OverUdp(sock, WAITS_SECONDS[:2]).ask(request)
            other = answer.mapped()
        except (OSError, MalformedError) as exc:
            rec.fact("second", getattr(exc, "strerror", "") or str(exc) or "no answer")
            rec.current_phase = ""
            return
        rec.fact("second", other)
        rec.value("stun_mapping_varies", int(other != mapped))


async def _ask(sock: socket.socket, rec: Recorder) -> Message:
    server = OverUdp(sock)
    request = make_request(Method.BINDING, secrets.token_bytes(TRANSACTION_BYTES))
    try:
        answer = await server.ask(request)
    finally:
        rec.value("stun_attempts", server.attempts)
    if server.rtt_seconds is not None:
        rec.value("stun_rtt_seconds", server.rtt_seconds)
    return answer
