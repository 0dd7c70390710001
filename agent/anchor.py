"""Where the centre's clock stands against this machine's, learned from answers as NTP does."""

from dataclasses import dataclass

DRIFT = 100e-6
"""How far two clocks may drift apart, seconds a second: a poor crystal."""
ROUNDING = 1e-6
"""What floats of today's UTC seconds can be off by in a calculation."""


@dataclass(frozen=True, slots=True)
class _Estimate:
    anchor: float
    error: float
    at: float

    def error_at(self, now: float) -> float:
        return self.error + DRIFT * abs(now - self.at)


class Anchor:
    """The centre's UTC seconds when this machine's monotonic clock read 0, and how sure that is.

    Times of the machine are CLOCK_BOOTTIME nanoseconds, times of the centre UTC seconds. As all
    estimates age alike, the best one stays the best until a better one comes: one is enough.
    """

    def __init__(self) -> None:
        self._best: _Estimate | None = None

    def learn(
        self, *, sent_ns: int, received_at: float, answered_at: float, arrived_ns: int
    ) -> None:
        """Learn from one exchange (RFC 5905, section 8).

        What cannot be true is not believed: an answer that took the centre longer than us. An
        estimate that contradicts the best one takes its place: one of the clocks was set, or the
        machine slept, and the newer one knows.
        """
        sent, arrived = sent_ns / 1e9, arrived_ns / 1e9
        error = ((arrived - sent) - (answered_at - received_at)) / 2
        if error < -ROUNDING or answered_at < received_at:
            return
        error = max(error, ROUNDING)
        anchor = ((received_at - sent) + (answered_at - arrived)) / 2
        best = self._best
        if (
            best is None
            or error <= best.error_at(arrived)
            or abs(anchor - best.anchor) > error + best.error_at(arrived)
        ):
            self._best = _Estimate(anchor, error, arrived)

    def read(self, now_ns: int) -> tuple[float, float] | tuple[None, None]:
        """Return the anchor and how far off it can be; None before the first answer."""
        if self._best is None:
            return None, None
        return self._best.anchor, self._best.error_at(now_ns / 1e9)
