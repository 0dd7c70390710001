"""Spools and what is in them, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.config import SpoolLimits
from agent.spool import Pending, Spool
from agent.wire import Ack, Batch
from tests.agent.batches import BOOT, OLD_BOOT, make_batch

EVERYTHING = 1 << 40
SMALL = SpoolLimits(max_bytes=16_000)
"""Segments of about 1 kB, three batches each."""


@contextmanager
def opened(
    directory: Path, limits: SpoolLimits | None = None, *, boot: str = BOOT
) -> Iterator[Spool]:
    """Open a spool and close it again."""
    spool = Spool(directory, limits or SpoolLimits(), boot=boot)
    try:
        yield spool
    finally:
        spool.close()


def appended(spool: Spool, number: int, **batch) -> list[int]:
    """Append batches of one sample; return the numbers they were given."""
    for _ in range(number):
        spool.append(make_batch(**batch))
    return list(range(spool._seq - number + 1, spool._seq + 1))


def body_of(batch: Batch, seq: int) -> bytes:
    """Return the bytes a batch must have once it is numbered."""
    return msgspec.json.encode(msgspec.structs.replace(batch, seq=seq))


def ack(first: int, last: int, boot: str = BOOT) -> Ack:
    """Return an acknowledgement of one range."""
    return Ack(boot=boot, ranges=[(first, last)])


def seqs(pendings: list[Pending]) -> list[int]:
    """Return the numbers of batches."""
    return [pending.seq for pending in pendings]


def lanes(spool: Spool) -> tuple[list[Pending], list[Pending]]:
    """Take all there is: live and backlog."""
    return spool.live(EVERYTHING), spool.backlog(EVERYTHING)


def fill(directory: Path, number: int, limits: SpoolLimits | None = SMALL) -> dict[int, bytes]:
    """Write a spool of an old boot; return what must be in it."""
    with opened(directory, limits, boot=OLD_BOOT) as spool:
        appended(spool, number, boot=OLD_BOOT)
    return {seq: body_of(make_batch(boot=OLD_BOOT), seq) for seq in range(1, number + 1)}
