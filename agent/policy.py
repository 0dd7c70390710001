"""What an answer means, or its absence: kinds of trouble, and what is done about each.

Only an answer whose body is ours is the collector's. Whatever else comes back, from a proxy, a
captive portal or nobody, costs no batch: it is tried again. Where a filter on the way objects to
one batch and lets others pass, that one waits, and holds nothing else up.
"""

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from math import isfinite

import aiohttp
import msgspec

from agent.probes.base import ProbeError
from agent.probes.classify import classify
from agent.wire import Answer, Failure, Refusal

DEFAULT_WAIT_SECONDS = 5.0
MAX_WAIT_SECONDS = 300.0


class Policy(Enum):
    """What the uplink does next."""

    DONE = auto()
    RETRY = auto()
    """Again, after a growing pause with jitter."""
    WAIT = auto()
    """Again, when the collector said."""
    SPLIT = auto()
    """Something in this push is refused: in halves, until the batch is found and set aside."""
    HOLD = auto()
    """Nothing of ours will be taken before a person acts: seldom."""


BY_CODE = {
    "unauthorised": Policy.HOLD,
    "revoked": Policy.HOLD,
    "wrong_agent": Policy.SPLIT,
    "malformed": Policy.SPLIT,
    "too_large": Policy.SPLIT,
    "too_many": Policy.WAIT,
    "not_found": Policy.RETRY,
    "busy": Policy.WAIT,
}
"""Codes of `Refusal`; one that is not here, of a later collector, is tried again."""
NOT_ABOUT_CONTENT = frozenset({401, 407, 408, 425, 429})
"""Of the 4xx of others, those that do not change with what is sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, whoever gave it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    """Names in small letters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one push ended."""

    policy: Policy
    why: str = ""
    """For people; "" when it went through."""
    wait: float = 0.0
    """Seconds the collector asked for."""
    heard: bool = False
    """Whether it was the collector that answered."""
    answer: Answer | None = None
    objected: bool = False
    """Whether somebody on the way answered as if he disliked what was in the push."""
    by_clock: bool = False
    """Whether the collector's certificate is good, but not for the day this PC's clock shows."""


def judge(reply: Reply) -> Outcome:
    """Say what an answer to a push means."""
    try:
        if reply.status == 200:
            answer = msgspec.json.decode(reply.body, type=Answer)
            return Outcome(Policy.DONE, heard=True, answer=answer)
        refusal = msgspec.json.decode(reply.body, type=Refusal)
    except msgspec.DecodeError:
        kind = reply.headers.get("content-type", "no content type")
        objected = 400 <= reply.status < 500 and reply.status not in NOT_ABOUT_CONTENT
        why = f"HTTP {reply.status}, but not by the collector: {kind}"
        return Outcome(Policy.RETRY, why, objected=objected)
    policy = BY_CODE.get(refusal.code, Policy.RETRY)
    why = f"HTTP {reply.status}, {refusal.code}: {refusal.error}"
    wait = _retry_after(reply) if policy is Policy.WAIT else 0.0
    return Outcome(policy, why, wait, heard=True)


def judge_failure(exc: Exception) -> Outcome:
    """Say what no answer at all means; in the words of the probes."""
    if isinstance(exc, aiohttp.ClientConnectionError) and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    if isinstance(exc, ProbeError):
        return Outcome(Policy.RETRY, str(exc))
    try:
        failure, detail = classify(exc)
    except ProbeError as ours:
        return Outcome(Policy.RETRY, str(ours))
    why = str(failure) if failure is Failure.TIMEOUT else f"{failure}: {detail}"
    by_clock = failure in {Failure.TLS_EXPIRED, Failure.TLS_NOT_YET_VALID}
    return Outcome(Policy.RETRY, why, by_clock=by_clock)


def _retry_after(reply: Reply) -> float:
    """Return what the collector asked for; dates (RFC 9110 10.2.3) are not what it sends."""
    try:
        seconds = float(reply.headers.get("retry-after", ""))
    except ValueError:
        return DEFAULT_WAIT_SECONDS
    return min(max(seconds, 0.1), MAX_WAIT_SECONDS) if isfinite(seconds) else DEFAULT_WAIT_SECONDS


class Backoff:
    """Growing pauses with full jitter: 148 offices that lost one centre do not come back at once."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._tries = 0

    def next(self) -> float:
        """Return seconds to wait before the next try."""
        longest = min(self._most, self._first * 2.0**self._tries)
        self._tries = min(self._tries + 1, 30)
        return random.uniform(0.0, longest)

    def reset(self) -> None:
        """Begin anew after a success."""
        self._tries = 0


class Portion:
    """How much JSON goes into one push: so much that its answer takes about half a second."""

    def __init__(self, first: int, least: int, most: int) -> None:
        self.size = first
        self._least = least
        self._most = most

    def took(self, seconds: float, size: int) -> None:
        """Learn from a push of so much that went through; a small one says little."""
        if seconds < 0.3 and size > self.size // 2:
            self.size = min(self._most, self.size * 2)
        elif seconds > 1.0:
            self.failed()

    def failed(self) -> None:
        """Learn from one that did not: it may have been too much for the line."""
        self.size = max(self._least, self.size // 2)
