"""Gate: what may be sent to a receiver, by a sample's corrected time and the centre's clock.

One sample far ahead stops a whole Prometheus for good, and one too old for its window makes it
refuse every sample beside it (Prometheus 2.42 answers 500 and is asked again for ever). So no
request ever holds samples of two ages, and what would do harm is not sent at all. Pure.
"""

from typing import Literal

from msgspec import Struct

from collector.ingest.clock import MAX_AHEAD_SECONDS

LIVE_SECONDS = 60.0
"""What is younger is sent first. Agents on 4G send each 10 s, and a receiver may be away a while."""
STEP_SECONDS = 10.0
"""`live_from` moves in such steps, so that what was left for the backlog is known by few numbers."""
MARGIN_SECONDS = 900.0
"""Kept from the end of the window: what is sent now may have to be sent again."""

Age = Literal["live", "window", "too_old", "ahead", "untrusted"]


class Gate(Struct, frozen=True):
    """One receiver's."""

    window_seconds: float
    """How far back it takes samples: `out_of_order_time_window`, or the retention."""

    def live_from(self, now: float) -> float:
        """Return the time from which samples are live; it never lies in the last LIVE_SECONDS."""
        return (now - LIVE_SECONDS) // STEP_SECONDS * STEP_SECONDS

    def oldest(self, now: float) -> float:
        """Return the time from which samples are taken."""
        return now - self.window_seconds + MARGIN_SECONDS

    def age(self, at: float, now: float, *, live_from: float, trusted: bool = True) -> Age:
        """Return what becomes of a sample."""
        if not trusted:
            return "untrusted"
        if at > now + MAX_AHEAD_SECONDS:
            return "ahead"
        if at >= live_from:
            return "live"
        return "window" if at >= self.oldest(now) else "too_old"
