"""The ways to the centre: one warm connection per selectable line, or the system's route."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agent import VERSION
from agent.config import CollectorAddress, Line
from agent.policy import Reply
from agent.probes.base import ProbeError, Resolve, Source
from agent.probes.net import bound_socket
from agent.wire import LineState

MAX_ANSWER_BYTES = 4 << 20
RESOLVE_SECONDS = 2.0
"""How long a connection waits for the system to find the centre's name."""
KNOWN_SECONDS = 0.2
"""How long it waits where it knows an address already: the resolver may be behind the dead line."""
IDLE_SECONDS = 60.0
SEND_BYTES = 64 << 10
"""What one connection has on its way at most: on a slow line the next live push queues behind it,
and what fills the modem's buffer makes it drop both. On 50 ms there and back it is 10 Mbit/s."""
X509_V_FLAG_NO_CHECK_TIME = 0x200000  # OpenSSL's x509_vfy.h; Python has no name for it

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Way:
    """One line, or the route that the system chooses, whose name is ""."""

    name: str
    source: Source | None
    session: aiohttp.ClientSession
    last_success_ms: int | None = None
    failing: str = ""
    late: bool = False
    """Whether its latest answer took so long that another line was asked."""

    def is_late(self, seconds: float) -> None:
        """Note that an answer is not here after so long: told with the push over the next line."""
        self.late = True
        if not self.failing:
            self.failing = f"timeout: no answer within {seconds:g} s"
            log.warning("push is late line=%r, the next line is asked", self.name)


class Lines:
    """Carries requests to the centre over each line."""

    def __init__(self, address: CollectorAddress, resolve: Resolve) -> None:
        self._address = address
        self._url = address.url.rstrip("/")
        self._resolver = _LastKnown(resolve)
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._token = ""
        self._ways: dict[str, Way] = {}

    async def set(self, lines: Sequence[Line]) -> None:
        """Put other lines in force; the connections of those that stay are kept."""
        sources = {line.name: line.chosen_by() for line in lines}
        wanted: dict[str, Source | None] = {n: source for n, source in sources.items() if source}
        if not wanted:
            wanted[""] = None
        before, self._ways = self._ways, {}
        for name, source in wanted.items():
            kept = before.get(name)
            if kept is not None and kept.source == source:
                self._ways[name] = before.pop(name)
            else:
                self._ways[name] = Way(name, source, self._session(source))
        for way in before.values():
            await way.session.close()

    def _session(self, source: Source | None) -> aiohttp.ClientSession:
        def make_socket(found: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
            family, kind, proto = found[:3]
            try:
                sock = bound_socket(family, kind, source, proto)
            except ProbeError as exc:  # aiohttp goes on to the next address after an OSError only
                number = exc.__cause__.errno if isinstance(exc.__cause__, OSError) else None
                raise OSError(number, str(exc)) from exc
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            return sock

        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            keepalive_timeout=IDLE_SECONDS,
            socket_factory=make_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"thongsuot-agent/{VERSION}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def ordered(self) -> list[Way]:
        """Return the ways, those that work first, otherwise as they are configured."""
        return sorted(self._ways.values(), key=lambda way: way.late or bool(way.failing))

    def states(self) -> dict[str, LineState]:
        """Say how each line fares; the route that the system chooses is no line."""
        return {
            way.name: LineState(last_success_ms=way.last_success_ms, failing=way.failing)
            for way in self._ways.values()
            if way.name
        }

    async def request(
        self,
        way: Way,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        body: bytes | None = None,
        seconds: float,
        any_date: bool = False,
    ) -> Reply:
        """Ask the centre over one way. Redirects are answers: nothing leads away from the address.

        `any_date` takes a certificate of the configured issuer whatever the date: for a PC whose
        clock is wrong and who must say so. Raises ProbeError where this PC is at fault, else
        OSError or aiohttp.ClientError.
        """
        if way.session.closed:
            raise ProbeError("the line is no longer configured")
        headers = {"Authorization": f"Bearer {self._read_token()}", **headers}
        context = self._context(any_date=any_date) if self._url.startswith("https:") else True
        async with (
            asyncio.timeout(seconds),
            way.session.request(
                method,
                self._url + path,
                data=body,
                headers=headers,
                allow_redirects=False,
                ssl=context,
            ) as response,
        ):
            found = bytearray()
            async for piece in response.content.iter_chunked(1 << 16):
                found += piece
                if len(found) > MAX_ANSWER_BYTES:
                    raise aiohttp.ClientPayloadError("the answer is too large to be the centre's")
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, bytes(found), names)

    @property
    def can_ignore_dates(self) -> bool:
        """Whether the issuer is named in the configuration, so that it says enough by itself."""
        return self._address.ca_file is not None and self._url.startswith("https:")

    def forget_token(self) -> None:
        """Read the token anew before the next request: it was refused, or has been replaced."""
        self._token = ""

    def _read_token(self) -> str:
        if not self._token:
            file = self._address.token_file
            try:
                token = file.read_text("ascii").strip()
            except OSError as exc:
                raise ProbeError(f"token file {file} cannot be read: {exc.strerror}") from exc
            except UnicodeDecodeError as exc:
                raise ProbeError(f"token file {file} holds no token") from exc
            if not token or not token.isprintable() or " " in token:
                raise ProbeError(f"token file {file} holds no token")
            self._token = token
        return self._token

    def _context(self, *, any_date: bool) -> ssl.SSLContext:
        context = self._contexts.get(any_date)
        if context is None:
            file = self._address.ca_file
            try:
                context = ssl.create_default_context(cafile=file)
            except OSError as exc:  # ssl.SSLError, for what is no certificate, is one too
                why = exc.strerror or "holds no certificate"
                raise ProbeError(f"ca_file {file} cannot be used: {why}") from exc
            if any_date:
                context.verify_flags |= ssl.VerifyFlags(X509_V_FLAG_NO_CHECK_TIME)
            self._contexts[any_date] = context
        return context

    async def close(self) -> None:
        """Close all connections."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            await way.session.close()
        await self._resolver.close()


class _LastKnown(AbstractResolver):
    """The system's answer, or the last one it gave: a broken DNS must not keep us from saying so.

    A lookup goes on when nobody waits for it any more; what it finds holds for the next connection.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._known: dict[tuple[str, int], list[str]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        key = host, {socket.AF_INET: 4, socket.AF_INET6: 6}.get(family, 0)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
            asking.add_done_callback(lambda done: self._forget(key, done))
        known = key in self._known
        await asyncio.wait({asking}, timeout=KNOWN_SECONDS if known else RESOLVE_SECONDS)
        if key not in self._known:
            if not asking.done():
                raise TimeoutError
            asking.result()
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._known[key]
        ]

    async def _ask(self, key: tuple[str, int]) -> None:
        self._known[key] = await self._resolve(*key)

    def _forget(self, key: tuple[str, int], done: asyncio.Task[None]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # seen, even if nobody waited so long

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
