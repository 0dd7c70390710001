"""Doubt: when a receiver may have lost what it acknowledged, and since when. Pure.

A receiver says 204 before its disk has the data. VictoriaMetrics 1.79 writes it some 5 s later, so a
kill -9 is enough to lose it; Prometheus hands it to the kernel, which writes what is dirty for 30 s
in rounds of 5 s, so that a power cut takes the last 35 s and what the disk still had to do. The data
themselves never tell. So whenever a receiver may have been started anew, what it took in the last
minute before is sent again: the same samples with the same times, which it keeps once.
"""

import math
from typing import Literal

from msgspec import Struct

from collector.export.parts import Answer

SAFE_SECONDS = 60.0
"""What was acknowledged so long before a receiver died is on its disk."""
CALM_SECONDS = 300.0
"""So long without a sign, and the next one has nothing to do with those before."""
APART_SECONDS = 10.0
"""Between two rounds of sending again, at least. In a row of signs it is half of its length, so that
what is sent again, which may be lost again, is three times of everything at most."""
LONGEST_SECONDS = 6 * 3_600.0
"""More than this before the newest sign is not sent again."""

Sign = Literal["start", "trouble", "connection"]


class Doubt(Struct):
    """Of one sign. Monotonic seconds."""

    began: float = -math.inf
    """When the first of a row of signs was seen."""
    noted: float = -math.inf
    """When the newest was."""
    again_at: float = -math.inf
    """When it was last acted upon."""
    since: float | None = None
    """What the receiver took from then on is in doubt."""

    def note(self, now: float, since: float) -> None:
        """Note a sign."""
        if now - self.noted > CALM_SECONDS:
            self.began, self.again_at = now, -math.inf
        self.noted = now
        if self.since is None:
            self.since = since
        elif self.since > -math.inf:
            self.since = max(min(self.since, since), since - LONGEST_SECONDS)

    def due(self, now: float) -> float | None:
        """Return once since when what was taken is to be sent again; None when nothing is, or yet."""
        apart = max(APART_SECONDS, (now - self.began) / 2)
        soon = now - self.again_at < apart and now - self.noted < CALM_SECONDS
        if self.since is None or soon:
            return None
        since, self.since, self.again_at = self.since, None, now
        return since


class Starts(Struct, frozen=True):
    """How our own starts followed each other, in wall time: what is kept of it from run to run."""

    began: float = -math.inf
    noted: float = -math.inf
    again_at: float = -math.inf


class Doubts:
    """Of one receiver. A row of one sign, such as a proxy that cuts connections, delays no other.

    "start": our own; it may have been restarted meanwhile. "trouble": no answer, or a proxy's word
    for that, which ended. "connection": it was cut without a word.
    """

    def __init__(self, lanes: tuple[str, ...]) -> None:
        self._of: dict[Sign, Doubt] = {"start": Doubt(), "trouble": Doubt(), "connection": Doubt()}
        self._again: dict[str, float | None] = dict.fromkeys(lanes)
        self._taken_at = -math.inf
        self._away = False

    def started(self, now: float, wall: float, before: Starts | None) -> None:
        """Note our own start; `before`: those before it."""
        if before is not None:  # a clock that was set back meanwhile makes nothing lie ahead
            times = (before.began, before.noted, before.again_at)
            self._of["start"] = Doubt(*(min(at - wall, 0.0) + now for at in times))
        self._of["start"].note(now, -math.inf)

    def starts(self, now: float, wall: float) -> Starts:
        """Return what is to be kept of our starts."""
        start = self._of["start"]
        times = (start.began, start.noted, start.again_at)
        return Starts(*(at - now + wall for at in times))

    def heard(self, answer: Answer, now: float, *, cut: bool) -> None:
        """Take an answer; `cut`: the connection before the one it came over broke by itself."""
        since = self._taken_at - SAFE_SECONDS
        if is_away(answer):
            self._away = True
        elif answer.verdict == "taken":
            if self._away:
                self._of["trouble"].note(now, since)
            elif cut:
                self._of["connection"].note(now, since)
            self._away, self._taken_at = False, now

    def due(self, lane: str, now: float) -> float | None:
        """Return once since when what a lane had taken is to be sent again; None: nothing is."""
        for doubt in self._of.values():
            since = doubt.due(now)
            if since is not None:
                for one, other in self._again.items():
                    self._again[one] = since if other is None else min(since, other)
        found, self._again[lane] = self._again[lane], None
        return found

    def safe_before(self) -> float:
        """Return the time before which everything that was taken is safe, or past caring."""
        waiting = [doubt.since for doubt in self._of.values()] + list(self._again.values())
        return min(
            [self._taken_at - SAFE_SECONDS, *(since for since in waiting if since is not None)]
        )


def is_away(answer: Answer) -> bool:
    """Whether nobody answered. A 500 is the receiver's own: who says so is alive."""
    return answer.code == 0 or answer.code > 501
