"""Throughput: how fast the line carries bytes from and to a server of ours, within a share of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated, ClassVar, Literal

from aiohttp.http import RawResponseMessage
from msgspec import Meta
from yarl import URL

from agent.probes.base import Env, ProbeError, Recorder, Target, Value
from agent.probes.carry import receive, transmit
from agent.probes.channel import Channel
from agent.probes.fetch import USER_AGENT, refuse_url, request
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.meter import Meter
from agent.probes.response import Response
from agent.wire import Failure, Slot

ANSWER_SHARE = 0.1  # of a slot's time, kept for the server's answer


class ThroughputParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a throughput probe; the slot's own bounds bind as well."""

    direction: Literal["down", "up"]
    """`down` fetches the URL (GET), `up` sends random bytes there (PUT)."""
    max_bytes: Annotated[int, Meta(ge=100_000, le=1_000_000_000)] = 10_000_000
    """Of HTTP's own; the run ends with them."""
    max_seconds: Annotated[float, Meta(ge=1, le=60)] = 10.0
    """For the bytes; the run ends then, too."""
    max_bit_s: Annotated[float, Meta(ge=100_000, le=10_000_000_000)] = 8_000_000.0
    """Never taken more of the line than this, headers and all."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""


class Throughput:
    """Fetches or sends bytes that cannot be compressed, evenly, for as long as it may."""

    kind: ClassVar[str] = "throughput"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = ThroughputParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "processing", "transfer")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("http_status_code", "Status code of the last response."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
        Value(
            "throughput_bytes_per_second",
            "Speed of HTTP's own bytes, after the first quarter of them.",
            labels=(("direction", ("down", "up")),),
        ),
        Value("throughput_bytes", "What was carried, all in all."),
        Value("throughput_seconds", "How long that took; of up, until the server's answer."),
    )

    def __init__(self, params: ThroughputParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: ThroughputParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_url(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Carry bytes once, within the slot; what does not end well measured nothing."""
        slot = target.slot
        if slot is None:
            raise ProbeError("runs only in a slot that the centre gives")
        loop = asyncio.get_running_loop()
        latest = loop.time() + slot.max_seconds * (1 - ANSWER_SHARE)
        async with asyncio.timeout(slot.max_seconds), self._channel(target, rec) as channel:
            if channel is None:
                return
            carry = self._fetch if self._params.direction == "down" else self._send
            if loop.time() >= latest:  # connecting took it all
                raise TimeoutError
            until = min(loop.time() + self._params.max_seconds, latest)
            await carry(channel, URL(target.name), slot, until, rec)

    @asynccontextmanager
    async def _channel(self, target: Target, rec: Recorder) -> AsyncIterator[Channel | None]:
        params, url = self._params, URL(target.name)
        tls = params
        channel = await open_channel(
            self._env,
            target,
            rec,
            host=url.raw_host or "",
            port=url.port or 0,
            ip_version=params.ip_version,
            tls=tls if url.scheme == "https" else None,
        )
        if channel is None:
            yield None
            return
        with closing(channel):
            yield channel

    async def _fetch(
        self, channel: Channel, url: URL, slot: Slot, until: float, rec: Recorder
    ) -> None:
        loop = asyncio.get_running_loop()
        limit = min(self._params.max_bytes, slot.max_bytes)
        # As many as are wanted, so that no more are on their way when we leave
        wanted = (("Accept-Encoding", "identity"), ("Range", f"bytes=0-{limit - 1}"))
        response = Response(channel, with_body=True)
        with rec.phase("processing"):
            await channel.send(request("GET", url, (*_headers(url), *wanted)))
            await response.begin()
        with rec.phase("transfer"):
            if not _accepted(await response.head(), rec):
                return
            meter = Meter(loop.time(), self._params.max_bit_s)
            ended_by = await receive(response, meter, limit, until)
        self._report(meter, ended_by, rec)

    async def _send(
        self, channel: Channel, url: URL, slot: Slot, until: float, rec: Recorder
    ) -> None:
        loop = asyncio.get_running_loop()
        limit = min(self._params.max_bytes, slot.max_bytes)
        kind = (("Content-Type", "application/octet-stream"), ("Transfer-Encoding", "chunked"))
        response = Response(channel, with_body=True)
        with rec.phase("transfer"):
            await channel.send(request("PUT", url, (*_headers(url), *kind)))
            meter = Meter(loop.time(), self._params.max_bit_s)
            sending = asyncio.create_task(transmit(channel, meter, limit, until))
            try:
                await response.begin()  # at once, if it is a refusal
                sent = sending.result() if sending.done() else None
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            answered = loop.time()
            if not _accepted(await response.head(), rec):
                return
        if sent is None:
            rec.fail(Failure.MALFORMED, "the server answered before it had the bytes")
            return
        ended_by, total = sent
        meter.mark(answered, total)
        self._report(meter, ended_by, rec)

    def _report(self, meter: Meter, ended_by: str, rec: Recorder) -> None:
        if not meter.bytes:
            rec.fail(Failure.NOT_OFFERED, "the server's answer is empty, expected bytes to carry")
            return
        speed = meter.bytes_per_second()
        if speed is not None:
            rec.value("throughput_bytes_per_second", speed, self._params.direction)
        rec.value("throughput_bytes", meter.bytes)
        rec.value("throughput_seconds", meter.seconds)
        rec.fact("limited_by", meter.limited_by(ended_by))


def _headers(url: URL) -> tuple[tuple[str, str], ...]:
    return ("Host", url.host_port_subcomponent or ""), USER_AGENT


def _accepted(head: RawResponseMessage, rec: Recorder) -> bool:
    """Whether the server does it; a redirect is none of its own words, and not followed."""
    rec.value("http_status_code", head.code)
    if not 200 <= head.code < 300:
        rec.fail(Failure.STATUS, f"{head.code} {head.reason}".strip())
    return rec.failure is None
