"""TURN: whether a relay answers, and whether it gives this PC an address to call from."""

import secrets
import socket
from pathlib import Path
from typing import ClassVar, Literal

from agent.probes.base import Env, ProbeError, Recorder, Target, TargetError, Value
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.net import bound_socket, refuse_host_port, resolve, split_host_port
from agent.probes.stun_exchange import Conversation, OverStream, OverUdp
from agent.probes.stun_message import (
    TRANSACTION_BYTES,
    Attribute,
    Credentials,
    Kind,
    MalformedError,
    Message,
    Method,
    Request,
    long_term_key,
    make_request,
)
from agent.wire import Failure

RELAY_UDP = ((Attribute.REQUESTED_TRANSPORT, bytes([socket.IPPROTO_UDP, 0, 0, 0])),)
GIVE_BACK = ((Attribute.LIFETIME, bytes(4)),)
UNAUTHORIZED, STALE_NONCE = 401, 438


class TurnParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a TURN probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """How to reach the server; relayed is UDP in any case."""
    user: str = ""
    """With it an address is asked for; without, that the server wants to know who asks is enough.
    Let the centre make both time-limited (expiry:site) where the server can: 148 PCs hold them."""
    password_file: str = ""
    """Its text is the user's password; read at each attempt, so that it can be renewed."""

    def __post_init__(self) -> None:
        """Refuse half of what a server wants to know, and a name that no certificate can have."""
        super().__post_init__()
        if bool(self.user) is not bool(self.password_file):
            raise ValueError("expected both user and password_file, or neither")


class Turn:
    """Asks for a relay address (RFC 8656) and gives it back at once."""

    kind: ClassVar[str] = "turn"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = TurnParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "ask", "allocate", "release")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
        Value(
            "turn_level",
            "How far it came: 1 = the server asked who we are, 2 = it gave a relay address.",
        ),
        Value(
            "turn_rtt_seconds",
            "Round trip of the first request; absent when it had to be repeated.",
        ),
    )

    def __init__(self, params: TurnParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._policy = params

    @classmethod
    def refuse_target(cls, name: str, params: TurnParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask without saying who we are, then, if the check knows a user, as that one."""
        password = _password(self._params.password_file) if self._params.user else ""
        server = await self._open(target, rec)
        if server is None:
            return
        client = _Client(server)
        try:
            with rec.phase("ask"):
                answer = await client.ask(Method.ALLOCATE, RELAY_UDP)
            if server.rtt_seconds is not None:
                rec.value("turn_rtt_seconds", server.rtt_seconds)
            if answer.kind is Kind.ERROR:
                client.introduce(answer, self._params.user, password)
                rec.value("turn_level", 1)
                if not password:
                    return
                with rec.phase("allocate"):
                    answer = await client.ask(Method.ALLOCATE, RELAY_UDP)
                client.must_be_granted(answer)
            else:
                rec.fact("credentials", "not asked for")
            rec.fact("relayed", answer.address(Attribute.XOR_RELAYED_ADDRESS))
            rec.fact("mapped", answer.mapped())
            rec.value("turn_level", 2)
            with rec.phase("release"):
                client.must_be_granted(await client.ask(Method.REFRESH, GIVE_BACK))
        finally:
            client.leave()

    async def _open(self, target: Target, rec: Recorder) -> Conversation | None:
        """Return a way to talk to the server; None when its certificate was refused."""
        host, port = split_host_port(target.name)
        if self._params.transport == "udp":
            address = await resolve(self._env, host, self._params.ip_version, rec)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = bound_socket(family, socket.SOCK_DGRAM, target.source)
            try:
                sock.connect((address, port))
            except BaseException:
                sock.close()
                raise
            return OverUdp(sock)
        channel = await open_channel(
            self._env,
            target,
            rec,
            host=host,
            port=port,
            ip_version=self._params.ip_version,
            tls=self._policy if self._params.transport == "tls" else None,
        )
        return None if channel is None else OverStream(channel)


class _Client:
    """Our side of the exchange: who we are, and what may be ours at the server."""

    def __init__(self, server: Conversation) -> None:
        self._server = server
        self._credentials: Credentials | None = None
        self._may_hold = False
        """Whether an address may be kept for us: ten minutes, unless it is given back."""

    def introduce(self, answer: Message, user: str, password: str) -> None:
        """Learn from the server's refusal how to say who we are. TargetError if it is another."""
        code, reason = answer.error()
        if code != UNAUTHORIZED:
            raise TargetError(Failure.STATUS, f"{code} {reason}")
        realm = answer.attributes.get(Attribute.REALM)
        nonce = answer.attributes.get(Attribute.NONCE)
        if not realm or not nonce:
            raise MalformedError("the answer 401 has no REALM or no NONCE")
        self._credentials = Credentials(user, realm, nonce, long_term_key(user, realm, password))

    async def ask(self, method: Method, attributes: tuple[tuple[Attribute, bytes], ...]) -> Message:
        """Return the answer; to a nonce that has gone stale in between, the answer to a new one.

        TargetError: it grants something, and not the server has signed it.
        """
        answer = await self._ask_once(method, attributes)
        if self._credentials and answer.kind is Kind.ERROR and answer.error()[0] == STALE_NONCE:
            nonce = answer.attributes.get(Attribute.NONCE, b"")
            self._credentials = self._credentials._replace(nonce=nonce)
            answer = await self._ask_once(method, attributes)
        signer = self._credentials if answer.kind is Kind.SUCCESS else None
        if signer and not answer.signed_with(signer.key):
            raise TargetError(Failure.BAD_SIGNATURE, "the answer is not signed with our password")
        return answer

    async def _ask_once(
        self, method: Method, attributes: tuple[tuple[Attribute, bytes], ...]
    ) -> Message:
        self._may_hold = self._may_hold or self._credentials is not None
        answer = await self._server.ask(self._request(method, attributes))
        granted = answer.kind is Kind.SUCCESS
        self._may_hold = granted is (method is Method.ALLOCATE)
        return answer

    def _request(self, method: Method, attributes: tuple[tuple[Attribute, bytes], ...]) -> Request:
        transaction = secrets.token_bytes(TRANSACTION_BYTES)
        return make_request(method, transaction, attributes, self._credentials)

    def must_be_granted(self, answer: Message) -> None:
        """Raise TargetError with the code of what is an error."""
        if answer.kind is Kind.ERROR:
            code, reason = answer.error()
            raise TargetError(Failure.STATUS, f"{code} {reason}")

    def leave(self) -> None:
        """Close; what may be held for us is given back, whether or not anybody hears it."""
        self._server.leave(self._request(Method.REFRESH, GIVE_BACK) if self._may_hold else None)


def _password(file: str) -> str:
    """Return a file's text. ProbeError if there is none."""
    try:
        text = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or "not UTF-8"
        raise ProbeError(f"password_file {file}: cannot be read: {why}") from exc
    if not text:
        raise ProbeError(f"password_file {file}: expected a password, found nothing")
    return text
