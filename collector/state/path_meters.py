"""Meters of paths: echoes, which have loss and jitter as well, and media tests. Pure.

Of echoes, the unanswered ones are lost, whether their attempt failed or not. A path is also poor
once more of the last echoes were lost than allowed, in LOSSY attempts at least: many short moments,
not one long. It is good again when half of that is left.
"""

from collections.abc import Iterable
from math import inf

from agent.probes.emodel import ECHO_FREE
from agent.wire import Sample
from collector.inventory.limits import ConferenceLimits, PathLimits
from collector.state.meters import CALMER, KEPT, Attempt, Meter

LOSS_ATTEMPTS = KEPT
"""Loss is that of the echoes of so many attempts: 360 as the probe sends them by default."""
LOSSY = 6
"""Attempts that lost something, at least: a line that blinked twice is not poor."""
SOUNDS = tuple(f"media_mos.{codec}.{ECHO_FREE}" for codec in ("g711_plc", "g711"))
WAYS = ("forward", "backward")


class EchoMeter(Meter, kw_only=True):
    """Echoes: delay, jitter and loss."""

    limits: PathLimits
    echoes: int
    """How many an attempt sends."""
    lost: int = 0
    """A bit for each of the last echoes; those lost of an attempt are its lowest."""
    jitter_limit: float = 0.0
    all: int = 0
    newer: int = 0
    lowest: int = 0

    def __post_init__(self) -> None:
        """Reckon what follows from the number of echoes, the habit and the limits."""
        self.all = (1 << LOSS_ATTEMPTS * self.echoes) - 1
        self.newer = (1 << LOSS_ATTEMPTS // 2 * self.echoes) - 1
        self.lowest = self.all // ((1 << self.echoes) - 1)
        super().__post_init__()

    def like(self, other: Meter) -> bool:
        """Whether the other one would measure the same way."""
        return isinstance(other, EchoMeter) and other.echoes == self.echoes

    def feed(self, sample: Sample, at: float) -> bool:
        """Take an attempt of a target that is up; return whether `poor` changed."""
        values = sample.values
        delay = sample.phases.get("rtt", inf)
        if (
            self.busy
            or delay > self.limit
            or values.get("icmp_jitter_seconds", 0.0) > self.jitter_limit
            or values.get("icmp_loss_ratio")
            or sample.failure is not None
        ):
            return self._look(sample, at)
        if sample.attempt == 1:
            self.seen += 1
            self._follow(delay)
        return False

    def _look(self, sample: Sample, at: float) -> bool:
        values = sample.values
        delay = sample.phases.get("rtt") if sample.failure is None else None
        loss = values.get("icmp_loss_ratio")
        if sample.attempt != 1 or loss is None:  # its name was not found, say: no echo was sent
            return False
        jitter = values.get("icmp_jitter_seconds")
        late = delay is not None and (
            delay > self.limit or (jitter is not None and jitter > self.jitter_limit)
        )
        if loss or self.lost:
            lost = min(round(loss * self.echoes), self.echoes)
            self.lost = (self.lost << self.echoes | (1 << lost) - 1) & self.all
        return self._weigh(Attempt(at, delay, jitter), late=late, lossy=loss > 0)

    def _sent(self, attempts: int) -> int:
        return max(1, min(self.seen, attempts)) * self.echoes

    def _calm(self) -> None:
        self.lost = 0
        super()._calm()

    def _reckon(self) -> None:
        super()._reckon()
        self.jitter_limit = self.limits.jitter_seconds * (CALMER if self.poor else 1)

    def _is_clean(self) -> bool:
        return not self.lost

    def _is_lossy(self) -> bool:
        return (self.lost & self.lowest).bit_count() >= LOSSY and (
            self.lost.bit_count() > self.limits.loss * self._sent(LOSS_ATTEMPTS)
        )

    def _is_poor(self) -> bool:
        return super()._is_poor() or self._is_lossy()

    def _is_good(self) -> bool:
        half = self.limits.loss / 2 * self._sent(LOSS_ATTEMPTS // 2)
        return super()._is_good() and (self.lost & self.newer).bit_count() <= half

    def _begun(self) -> float:
        if not self._is_lossy():
            return super()._begun()
        attempts = -(-self.lost.bit_length() // self.echoes)
        return self.recent[-attempts].at

    def _ended(self) -> float:
        if not self.lost:
            return super()._ended()
        return self.recent[-min(LOSS_ATTEMPTS // 2, len(self.recent))].at

    def _loss(self, last: list[Attempt]) -> float | None:  # noqa: ARG002  of more than the last few
        return self.lost.bit_count() / self._sent(LOSS_ATTEMPTS)


class MediaMeter(Meter, kw_only=True):
    """Media tests: each one is an attempt that carried a thousand packets."""

    limits: ConferenceLimits

    @property
    def sure(self) -> bool:
        """Whether enough was heard to call it good: a test's own figures need no usual ones."""
        return self.seen >= self.habit.of

    def feed(self, sample: Sample, at: float) -> bool:
        """Take an attempt of a target that is up; return whether `poor` changed."""
        if sample.failure is not None or sample.attempt != 1:
            return False
        values, limits = sample.values, self.limits
        delay = values.get("media_rtt_seconds.p50")
        jitter = _worst(values.get(f"media_jitter_seconds.{way}") for way in WAYS)
        loss = _worst(_gone(values, way) for way in WAYS)
        mos = next((values[name] for name in SOUNDS if name in values), None)
        share = CALMER if self.poor else 1.0
        late = (
            (delay is not None and delay > self.limit)
            or (jitter is not None and jitter > limits.jitter_seconds * share)
            or (loss is not None and loss > limits.loss * share)
            or (mos is not None and mos < limits.mos)
        )
        return self._weigh(Attempt(at, delay, jitter, loss, mos), late=late)


def _gone(values: dict[str, float], way: str) -> float | None:
    """Return what was lost one way, or came too late to be played."""
    lost = values.get(f"media_loss_ratio.{way}")
    if lost is None:
        return None
    return lost + (1 - lost) * values.get(f"media_late_ratio.{way}", 0.0)


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
