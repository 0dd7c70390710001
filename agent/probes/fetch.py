"""HTTP/1.1 for the probes that speak it: one request over one new connection, timed by its phases."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from aiohttp.http import RawResponseMessage
from yarl import URL

from agent import VERSION
from agent.probes.base import Env, Recorder, Target, TargetError
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.net import refuse_host
from agent.probes.response import Response
from agent.wire import Failure

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_USER = "expected no user or password in the URL"
USER_AGENT = ("User-Agent", f"thongsuot-agent/{VERSION}")


def refuse_url(name: str, ip_version: int) -> str:
    """Return what was expected of a target's URL, or "" when it is fine."""
    try:
        url = URL(name)
    except ValueError as exc:
        return f"expected a URL ({exc})"
    if url.scheme not in {"http", "https"} or not url.raw_host or not url.port:
        return "expected http://host/… or https://host/…"
    if url.user is not None or url.password is not None:
        return NO_USER
    return refuse_host(url.raw_host, ip_version)


def request(method: str, url: URL, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a request as it is sent; whoever gives the headers gives Host among them."""
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1"]
    lines += (f"{name}: {value}" for name, value in headers)
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


@asynccontextmanager
async def exchange(
    env: Env,
    target: Target,
    rec: Recorder,
    url: URL,
    sent: bytes,
    *,
    ip_version: int,
    tls: TlsPolicy,
    with_body: bool = True,
) -> AsyncIterator[Response]:
    """Send a request and yield its response, to be read in phase `transfer`.

    `tls` counts where the URL is https. TargetError when the certificate was refused: it is
    recorded already. What else goes wrong flies.
    """
    channel = await open_channel(
        env,
        target,
        rec,
        host=url.raw_host or "",
        port=url.port or 0,
        ip_version=ip_version,
        tls=tls if url.scheme == "https" else None,
    )
    if channel is None:
        raise TargetError(rec.failure or Failure.TLS_UNTRUSTED, rec.detail)
    with closing(channel):
        response = Response(channel, with_body=with_body)
        with rec.phase("processing"):
            await channel.send(sent)
            await response.begin()
        with rec.phase("transfer"):
            yield response


def redirected(url: URL, head: RawResponseMessage) -> URL | None:
    """Return where a response leads on, None where it does not; TargetError if that is not HTTP."""
    location = head.headers.get("Location", "")
    if head.code not in REDIRECTS or not location:
        return None
    try:
        following = url.join(URL(location))
    except ValueError as exc:
        raise TargetError(Failure.HTTP_REDIRECT, f"to {location!r}: {exc}") from exc
    if following.scheme not in {"http", "https"} or not following.raw_host:
        raise TargetError(Failure.HTTP_REDIRECT, f"to {location!r}, which is not HTTP")
    return following


@dataclass(frozen=True, slots=True)
class Got:
    """The response that a GET led to, read as far as its header."""

    url: URL
    """Where it came from, after redirects."""
    head: RawResponseMessage
    response: Response


@asynccontextmanager
async def get(
    env: Env,
    target: Target,
    rec: Recorder,
    url: URL,
    *,
    ip_version: int,
    tls: TlsPolicy,
    headers: Iterable[tuple[str, str]] = (),
) -> AsyncIterator[Got]:
    """GET a URL, follow its redirects, and yield a response of status 200 or 206.

    Its body is read in phase `transfer`; the phases of all connections add up. TargetError says
    what else came.
    """
    for _ in range(MOST_REDIRECTS + 1):
        host = ("Host", url.host_port_subcomponent or "")
        sent = request("GET", url, [host, USER_AGENT, ("Accept", "*/*"), *headers])
        async with exchange(
            env, target, rec, url, sent, ip_version=ip_version, tls=tls
        ) as response:
            head = await response.head()
            following = redirected(url, head)
            if following is None:
                if head.code not in {200, 206}:
                    raise TargetError(Failure.HTTP_STATUS, f"{head.code} {head.reason}".strip())
                yield Got(url, head, response)
                return
        url = following
    raise TargetError(Failure.HTTP_REDIRECT, f"redirected more than {MOST_REDIRECTS} times")
