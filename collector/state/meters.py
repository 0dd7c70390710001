"""Meters: whether what is up is good enough, attempt by attempt. Pure; one meter a series.

An attempt is *late* where it took longer than the meter's limit, or shook more than the jitter
allowed. The limit is `delay_factor` times what is usual for this very series, within the bounds of
`collector.inventory.limits`. What is usual is learned: the median of the first LEARNED attempts,
then followed slowly, and never from attempts that were late.

A meter is *poor* once `need` of the last `of` attempts were late. It is good again when at most
`spare` of the last `clear` were, by limits a fifth lower: at the threshold it does not flap. The
last attempts are bits of a number, the newest the lowest, so that an attempt costs the same however
many count; while nothing is wrong they are 0 and cost nothing.

A failed attempt has no delay. Re-probes after a change are left out: they would count bad moments
twice.
"""

from collections import deque
from collections.abc import Iterable
from statistics import median

from msgspec import Struct, field

from agent.wire import Sample
from collector.inventory.limits import WebLimits

LEARNED = 24
"""Attempts before anything is called usual."""
FOLLOW = 0.0002
"""How much of itself the usual moves towards each attempt: at one in 5 s, 15 % an hour at most."""
UP, DOWN = 1 + FOLLOW, 1 - FOLLOW
KEPT = 120
"""Attempts that are remembered while something is wrong."""
CALMER = 0.8
"""Of its limits, for whatever is poor: to be good again it must be well below."""


class Habit(Struct, frozen=True):
    """N of M, there and back."""

    need: int
    of: int
    spare: int
    clear: int


class Reading(Struct, frozen=True, kw_only=True):
    """What a poor meter tells: medians of its last attempts, in seconds. None: not measured."""

    since: float
    """Time of the first of the attempts that made it poor."""
    limits: WebLimits
    delay_limit: float
    usual: float | None
    delay: float | None
    jitter: float | None
    loss: float | None
    mos: float | None


class Attempt(Struct, frozen=True, gc=False):
    """What a meter keeps of an attempt, while something is wrong."""

    at: float
    delay: float | None
    jitter: float | None = None
    loss: float | None = None
    mos: float | None = None


class Meter(Struct, kw_only=True):
    """Pages: the whole of a request against what is usual. The others build on it."""

    habit: Habit
    limits: WebLimits
    usual: float | None = None
    """Seconds; None until it was learned."""
    limit: float = 0.0
    """Longer is late."""
    poor: bool = False
    busy: bool = True
    """Whether also an attempt that is fine has to be weighed."""
    seen: int = 0
    """Attempts since it last rested."""
    since: float = 0.0
    """Poor: time of the first attempt that made it so. Good: of the first one after; 0 before."""
    hold: int = 0
    """Attempts that it stays poor for, at least."""
    late: int = 0
    """A bit for each of the last attempts."""
    window: int = 0
    first: list[float] = field(default_factory=list)
    recent: deque[Attempt] = field(default_factory=lambda: deque(maxlen=KEPT))

    def __post_init__(self) -> None:
        """Reckon what follows from the habit and the limits."""
        self.window = (1 << max(self.habit.of, self.habit.clear)) - 1
        self._reckon()

    @property
    def sure(self) -> bool:
        """Whether enough was heard to call it good, if it is not poor."""
        return self.usual is not None and self.seen >= self.habit.of

    def like(self, other: "Meter") -> bool:
        """Whether the other one would measure the same way."""
        return type(self) is type(other)

    def use(self, limits: WebLimits) -> None:
        """Judge by these limits from now on."""
        self.limits = limits
        self._reckon()

    def rest(self) -> None:
        """Forget the last attempts, not what is usual: the target went down, or came back."""
        self.seen = 0
        self._calm()

    def feed(self, sample: Sample, at: float) -> bool:
        """Take an attempt of a target that is up; return whether `poor` changed."""
        if sample.failure is not None or sample.attempt != 1:
            return False
        delay = sample.duration
        late = delay > self.limit
        if late or self.busy:
            return self._weigh(Attempt(at, delay), late=late)
        self.seen += 1
        self._follow(delay)
        return False

    def read(self) -> Reading:
        """Return what a poor meter's last attempts say."""
        last = list(self.recent)[-self.habit.of :]
        return Reading(
            since=self.since,
            limits=self.limits,
            delay_limit=self.limit / (CALMER if self.poor else 1),
            usual=self.usual,
            delay=_median(one.delay for one in last),
            jitter=_median(one.jitter for one in last),
            loss=self._loss(last),
            mos=_median(one.mos for one in last),
        )

    def _weigh(self, attempt: Attempt, *, late: bool, lossy: bool = False) -> bool:
        """Take an attempt while something is wrong or unknown; return whether `poor` changed."""
        self.seen += 1
        self.late = (self.late << 1 | late) & self.window
        self.recent.append(attempt)
        if self.poor:
            self.hold -= 1
            if self.hold > 0 or not self._is_good():
                return False
            self.since = self._ended()
            self._calm()
            return True
        if late or lossy:
            if self._is_poor():
                self.poor, self.hold, self.since = True, self.habit.clear, self._begun()
                self._reckon()
                return True
        elif attempt.delay is not None:
            self._follow(attempt.delay)
        if not self.late and self._is_clean():
            self.recent.clear()
            self.busy = self.usual is None
        else:
            self.busy = True
        return False

    def _follow(self, delay: float) -> None:
        if self.usual is None:
            self.first.append(delay)
            if len(self.first) >= LEARNED:
                self.usual = median(self.first)
                self.first.clear()
                self._reckon()
            return
        self.usual *= UP if delay > self.usual else DOWN
        if not self.seen & 63:
            self._reckon()

    def _calm(self) -> None:
        self.poor = False
        self.late = self.hold = 0
        self.busy = self.usual is None
        self.recent.clear()
        self._reckon()

    def _reckon(self) -> None:
        """Set what counts as late."""
        limits = self.limits
        limit = limits.delay_seconds
        if self.usual is not None:
            own = max(limits.delay_from_seconds, limits.delay_factor * self.usual)
            limit = min(limit, own)
        self.limit = limit * CALMER if self.poor else limit

    def _is_clean(self) -> bool:
        """Whether nothing else is wrong."""
        return True

    def _is_poor(self) -> bool:
        return (self.late & (1 << self.habit.of) - 1).bit_count() >= self.habit.need

    def _is_good(self) -> bool:
        return (self.late & (1 << self.habit.clear) - 1).bit_count() <= self.habit.spare

    def _begun(self) -> float:
        """Return the time of the oldest of the attempts that count against it."""
        late = self.late & (1 << self.habit.of) - 1
        return self.recent[-late.bit_length()].at

    def _ended(self) -> float:
        """Return the time of the first of the attempts that speak for it."""
        attempts = min(self.habit.clear, len(self.recent))
        while attempts > 1 and self.late >> attempts - 1 & 1:
            attempts -= 1
        return self.recent[-attempts].at

    def _loss(self, last: list[Attempt]) -> float | None:
        return _median(one.loss for one in last)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
