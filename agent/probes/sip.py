"""SIP: whether a bridge, registrar or endpoint answers OPTIONS, with what, and how fast.

OPTIONS only asks what the other side can do (RFC 3261 11): it never rings anywhere.
"""

import asyncio
import socket
from contextlib import closing
from typing import ClassVar, Literal

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.net import bound_socket, refuse_host, refuse_host_port, resolve, split_host_port
from agent.probes.sip_framing import MOST_BYTES, MalformedError, Stream, read_datagram
from agent.probes.sip_message import (
    T1_SECONDS,
    TIMER_F_SECONDS,
    Answer,
    Asked,
    ask,
    next_wait,
    read_answer,
)
from agent.wire import Failure

AUTH_REQUIRED = frozenset({401, 407})
# Any answer shows that SIP is alive there; these say that a call would not get through
REFUSING = frozenset({403, 404, 408, 410, 480, *range(500, 700)})
MOST_MESSAGES = 64  # without a final answer among them: a flood, which must not hold the loop


class SipParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a SIP probe."""

    transport: Literal["udp", "tcp", "tls"] = "udp"
    domain: str = ""
    """Host of the SIP URI that is asked about; "" takes the target's."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""

    def __post_init__(self) -> None:
        """Refuse names that no server can have."""
        super().__post_init__()
        if self.domain and (expected := refuse_host(self.domain, 0)):
            raise ValueError(f"domain {self.domain!r}: {expected}")


class Sip:
    """Asks once with OPTIONS; over UDP again and again, as RFC 3261 paces it, until answered."""

    kind: ClassVar[str] = "sip"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = SipParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "request")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("sip_response_code", "Status code of the final answer."),
        Value(
            "sip_rtt_seconds",
            "From the request to its first answer; absent where it was sent more than once.",
        ),
        Value("sip_attempts", "How often the request was sent; always 1 over TCP and TLS."),
        Value("sip_auth_required", "Whether the answer asks who we are (401, 407), 0 or 1."),
        Value("sip_retry_after_seconds", "How long the answer asks us to stay away."),
        Value(
            "sip_mapped_port_preserved",
            "Whether the request arrived from the port it was sent from, 0 or 1.",
        ),
        Value(
            "sip_alg_detected",
            "Whether our own address came back rewritten, as a router's SIP helper does, 0 or 1.",
        ),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: SipParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: SipParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask until the final answer. What is no answer to us is passed over."""
        host, port = split_host_port(target.name)
        try:
            if self._params.transport == "udp":
                await self._over_udp(target, rec, host, port)
            else:
                await self._over_stream(target, rec, host, port)
        except MalformedError as exc:
            rec.fail(Failure.MALFORMED, str(exc))

    async def _over_udp(self, target: Target, rec: Recorder, host: str, port: int) -> None:
        address = await resolve(self._env, host, self._params.ip_version, rec)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with bound_socket(family, socket.SOCK_DGRAM, target.source) as sock, rec.phase("request"):
            sock.connect((address, port))  # the kernel now drops what comes from elsewhere
            asked = ask(self._params.domain or host, "UDP", *sock.getsockname()[:2])
            exchange = Exchange(asked, rec, self._env)
            try:
                await self._send_until_answered(sock, asked, exchange)
            except (TimeoutError, asyncio.CancelledError):
                exchange.given_up()
                raise

    async def _send_until_answered(
        self, sock: socket.socket, asked: Asked, exchange: "Exchange"
    ) -> None:
        loop = asyncio.get_running_loop()
        due, wait = loop.time(), T1_SECONDS
        end = due + TIMER_F_SECONDS
        while True:
            sock.send(asked.wire())
            exchange.sent()
            due = min(due + wait, end)
            try:
                async with asyncio.timeout_at(due):
                    while not exchange.heard(await loop.sock_recv(sock, MOST_BYTES)):
                        pass
                    return
            except TimeoutError:
                if due >= end:
                    raise
            wait = next_wait(wait, provisional=exchange.provisional)

    async def _over_stream(self, target: Target, rec: Recorder, host: str, port: int) -> None:
        params = self._params
        secure = params.transport == "tls"
        channel = await open_channel(
            self._env,
            target,
            rec,
            host=host,
            port=port,
            ip_version=params.ip_version,
            tls=params if secure else None,
        )
        if channel is None:
            return
        with closing(channel), rec.phase("request"):
            asked = ask(params.domain or host, params.transport.upper(), *channel.local_address())
            exchange, stream = Exchange(asked, rec, self._env), Stream()
            exchange.sent()
            await channel.send(asked.wire())
            while True:
                while message := stream.next():
                    if exchange.take(read_answer(message, asked)):
                        return
                data = await channel.receive()
                if not data:
                    raise EOFError("the connection was closed before the answer")
                stream.feed(data)


class Exchange:
    """One request and what has come back for it."""

    def __init__(self, asked: Asked, rec: Recorder, env: Env) -> None:
        self._asked = asked
        self._rec = rec
        self._env = env
        self._attempts = 0
        self._sent_ns = 0
        self._messages = 0
        self._nonsense = ""
        self.provisional = False
        """Whether the other side has said that it is at it (1xx)."""

    def sent(self) -> None:
        """Know that the request has been sent, for the first time or again."""
        self._sent_ns = self._env.monotonic_ns()
        self._attempts += 1
        self._rec.value("sip_attempts", self._attempts)

    def heard(self, data: bytes) -> bool:
        """Take a datagram; whether it was the final answer. MalformedError if it should be it."""
        try:
            message = read_datagram(data)
            answer = read_answer(message, self._asked) if message else None
        except MalformedError as exc:
            if self._asked.branch.encode() in data:
                raise
            self._nonsense = self._nonsense or str(exc)
            answer = None
        return self.take(answer)

    def take(self, answer: Answer | None) -> bool:
        """Report an answer, None for what is none to us; whether it was the final one."""
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            raise MalformedError(f"{MOST_MESSAGES} messages came, none of them a final answer")
        if answer is None:
            return False
        rec = self._rec
        if self._attempts == 1 and not self.provisional:  # else: which one is answered? (Karn)
            rec.value("sip_rtt_seconds", (self._env.monotonic_ns() - self._sent_ns) / 1e9)
        if answer.code < 200:
            self.provisional = True
            rec.fact("provisional", f"{answer.code} {answer.reason}".strip())
            return False
        self._report(answer)
        return True

    def given_up(self) -> None:
        """Name what came instead of an answer, now that nobody waits for one any more."""
        if self._nonsense:
            self._rec.fail(Failure.MALFORMED, self._nonsense)

    def _report(self, answer: Answer) -> None:
        rec = self._rec
        rec.value("sip_response_code", answer.code)
        rec.value("sip_auth_required", int(answer.code in AUTH_REQUIRED))
        rec.value("sip_alg_detected", int(bool(answer.altered)))
        if answer.altered:
            rec.fact("sip_alg", answer.altered)
        if answer.retry_after is not None:
            rec.value("sip_retry_after_seconds", answer.retry_after)
        address, port = answer.mapped
        if port is not None:
            rec.value("sip_mapped_port_preserved", int(port == self._asked.port))
            rec.fact("mapped_port", str(port))
        if address:
            rec.fact("mapped_address", address)
        if answer.server:
            rec.fact("server", answer.server)
        if answer.code in REFUSING:
            rec.fail(Failure.STATUS, f"{answer.code} {answer.reason}".strip())
