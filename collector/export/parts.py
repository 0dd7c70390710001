"""Parts: what becomes of a request that a receiver refuses, fails at, or does not answer. Pure.

| answer | means | what is done |
|---|---|---|
| 2xx | taken | done |
| 429, 503 with Retry-After | too fast | the lane waits as told |
| 3xx 401 403 404 405 407 408 | not the data's fault: address, credential, a proxy | wait, ask again |
| any other 4xx | something in it is refused | halved until the bad samples stand alone |
| 5xx, no answer | trouble | asked again with the same bytes; when it sticks, halved |

Nothing is given up on suspicion: a sample that stands alone is a dead letter only when the receiver
took others since (4xx), or takes others all the time but not this one for a minute (5xx: Prometheus
2.42 says 500 for ever to one sample that is too old). Otherwise it is the receiver that is broken,
or a proxy before it, and everything waits in the journal.
"""

import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from collector.export.write_request import Points, compress, count, write_request

MAX_POINTS = 5_000
"""In one request, unless one batch's series cannot be parted."""
STICKS_SECONDS = 60.0
GAP_SECONDS = 30.0
"""A receiver that took nothing for so long was down: whatever failed then is not to blame for it."""
FIRST_RETRY_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 300.0
GUESSES = 40
"""Halvings in a row without anything being taken, before it is the receiver that is suspected."""

NOT_THE_DATA = frozenset({401, 403, 404, 405, 407, 408})
Verdict = Literal["taken", "wait", "refused", "trouble"]


class Answer(Struct, frozen=True):
    """What came back."""

    code: int
    """0: no answer."""
    said: str = ""
    retry_after: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Return what it means."""
        if 200 <= self.code < 300:
            return "taken"
        if self.code == 429 or (self.code == 503 and self.retry_after is not None):
            return "wait"
        if 400 <= self.code < 500 and self.code not in NOT_THE_DATA:
            return "refused"
        return "trouble"

    @property
    def blames(self) -> bool:
        """Whether the data may be the reason. A redirect or a missing credential never is."""
        return self.verdict == "refused" or self.code >= 500


class Part(Struct):
    """A request, or what is left of one."""

    series: dict[bytes, Points]
    failing_since: float | None = None
    """Since when it, or what it was a part of, was not taken."""
    last: Answer = Answer(0)
    _body: bytes = b""

    @property
    def points(self) -> int:
        """How many samples are in it."""
        return count(self.series)

    @property
    def body(self) -> bytes:
        """What is posted, the same bytes each time."""
        self._body = self._body or compress(write_request(self.series))
        return self._body

    def halves(self) -> "tuple[Part, Part]":
        """Return two smaller parts: of the series, or of the points of the only one."""
        items = list(self.series.items())
        if len(items) == 1:
            ((series, points),) = items
            middle = len(points) // 2
            items = [(series, points[:middle]), (series, points[middle:])]
        middle = len(items) // 2
        first, second = dict(items[:middle]), dict(items[middle:])
        since = self.failing_since
        return Part(first, failing_since=since), Part(second, failing_since=since)


class Health:
    """What a receiver took lately, over either lane."""

    def __init__(self) -> None:
        self.taken_at = float("-inf")
        self._well_since = float("-inf")

    def taken(self, now: float) -> None:
        """Note a 2xx."""
        if now - self.taken_at > GAP_SECONDS:
            self._well_since = now
        self.taken_at = now

    def proves(self, part: Part, now: float) -> bool:
        """Whether it takes others but not this part."""
        since = now if part.failing_since is None else part.failing_since
        if part.last.verdict == "refused":
            return self.taken_at >= since
        return (
            now - self.taken_at <= GAP_SECONDS
            and now - max(since, self._well_since) >= STICKS_SECONDS
        )


class Load:
    """What one lane has in hand: it ends when every part was taken or is a dead letter.

    `patience`: seconds after which trouble is looked for in the request itself; `slowest`: the
    longest time between two tries.
    """

    def __init__(
        self,
        series: dict[bytes, Points],
        *,
        patience: float,
        slowest: float,
    ) -> None:
        self._parts = deque(Part(chunk) for chunk in _chunks(series))
        self._patience = patience
        self._slowest = slowest
        self._tries = 0
        self._guesses = 0

    def next(self) -> Part | None:
        """Return the part to post; None when there is no more."""
        return self._parts[0] if self._parts else None

    @property
    def stuck_since(self) -> float | None:
        """Since when all that is left stands alone and is not taken; None while there is hope."""
        since = [part.failing_since for part in self._parts if part.points == 1]
        if not since or len(since) < len(self._parts):
            return None
        return max((one for one in since if one is not None), default=None)

    @property
    def points(self) -> int:
        """How many samples are left."""
        return sum(part.points for part in self._parts)

    def answered(self, answer: Answer, health: Health, now: float) -> tuple[float, Part | None]:
        """Take the answer to `next()`; return the seconds to wait, and a part that is given up."""
        part = self._parts[0]
        part.last = answer
        if answer.verdict == "taken":
            self._parts.popleft()
            self._tries = self._guesses = 0
            health.taken(now)
            return 0.0, None
        if answer.verdict == "wait":
            return self._pause(answer.retry_after), None
        if part.failing_since is None:
            part.failing_since = now
        patient = answer.verdict == "trouble" and now - part.failing_since < self._patience
        if not answer.blames or (patient and part.points > 1):
            return self._pause(answer.retry_after), None
        self._parts.popleft()
        if part.points > 1:
            self._parts.extendleft(reversed(part.halves()))
        elif health.proves(part, now):
            return 0.0, part
        else:
            self._parts.append(part)
        self._guesses += 1
        hopeless = self._guesses > GUESSES or self.stuck_since is not None
        return (self._pause(None) if hopeless else 0.0), None

    def _pause(self, told: float | None) -> float:
        """Return how long to wait: as told, else ever longer, never two receivers' clients in step."""
        if told is not None:
            return min(told, LONGEST_WAIT_SECONDS)
        longest = min(FIRST_RETRY_SECONDS * (1 << self._tries), self._slowest)
        self._tries = min(self._tries + 1, 10)
        return longest * random.uniform(0.5, 1.0)


def _chunks(series: dict[bytes, Points]) -> Iterator[dict[bytes, Points]]:
    """Yield requests of MAX_POINTS or fewer, every series whole where that is possible."""
    chunk: dict[bytes, Points] = {}
    room = MAX_POINTS
    for labels, points in series.items():
        for piece in _pieces(points):
            if len(piece) > room:
                yield chunk
                chunk, room = {}, MAX_POINTS
            chunk[labels] = piece
            room -= len(piece)
    if chunk:
        yield chunk


def _pieces(points: Points) -> Iterable[Points]:
    if len(points) <= MAX_POINTS:
        return (points,)
    return (points[at : at + MAX_POINTS] for at in range(0, len(points), MAX_POINTS))
