"""Bytes over a channel, metered: until they are enough, or the time is over."""

import asyncio
import os

from agent.probes.channel import CHUNK_BYTES, Channel
from agent.probes.meter import Meter
from agent.probes.response import Response

PIECE_BYTES = 16 << 10
BLOCK_BYTES = 1 << 20  # repeats too far apart for what compresses on the way
STALL_SECONDS = 2.0


async def receive(response: Response, meter: Meter, limit: int, until: float) -> str:
    """Take bytes until they are enough or the time is over; TimeoutError when they stopped coming."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    try:
        async with asyncio.timeout_at(until):
            while meter.bytes < limit:
                hold = meter.hold(loop.time(), meter.bytes + min(CHUNK_BYTES, limit - meter.bytes))
                since = loop.time() + hold
                await asyncio.sleep(hold)
                piece = await response.piece()
                if not piece:
                    break
                meter.mark(loop.time(), meter.bytes + len(piece))
    except TimeoutError:
        if loop.time() < until or until - since > STALL_SECONDS or not meter.bytes:
            raise
        meter.mark(loop.time(), meter.bytes)
        return "time"
    return "cap"


async def transmit(channel: Channel, meter: Meter, limit: int, until: float) -> tuple[str, int]:
    """Send chunks (RFC 9112, 7.1) and their end; return what ended them, and how much they were.

    It ends so early that what lies in the kernel's queue should be through in time.
    """
    loop = asyncio.get_running_loop()
    block = os.urandom(BLOCK_BYTES)
    sent, ended_by = 0, "cap"
    while sent < limit:
        now = loop.time()
        waiting = min(channel.unacknowledged(), sent)
        meter.mark(now, sent - waiting)
        begin, size = sent % BLOCK_BYTES, min(PIECE_BYTES, limit - sent)
        hold = meter.hold(now, sent + size)
        if max(now + hold, meter.through_by(now, waiting)) >= until:
            ended_by = "time"
            break
        await asyncio.sleep(hold)
        piece = block[begin : begin + size]
        await channel.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        sent += len(piece)
    await channel.send(b"0\r\n\r\n")
    return ended_by, sent
