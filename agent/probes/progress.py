"""Whether a live stream goes on, from looks at its playlist some time apart (RFC 8216 6.3.4). Pure."""

from dataclasses import dataclass

from agent.probes.playlist import Media

STALLED_AFTER = 3.0
"""Target durations without a new segment; 1.5 is what a server may need (6.2.1)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look says beside the looks before it."""

    stalled_seconds: float | None
    """Since a new segment was first seen; None at the first look, which has nothing to compare."""
    stalled: bool
    reset_from: int | None = None
    """The sequence number before, where the numbering began anew: an encoder was restarted, or
    two that know nothing of each other take turns."""


class Progress:
    """Remembers the newest segment of one playlist over one line, and when it came."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._advanced_at = 0.0

    def look(self, playlist: Media, now: float) -> Look:
        """Judge a playlist seen at the monotonic time `now`, in seconds."""
        before, last = self._last, playlist.last
        # Two edges of one CDN may be a segment apart: one back is the other edge, nothing new
        if before is not None and before - 1 <= last <= before:
            waited = now - self._advanced_at
            return Look(waited, waited >= STALLED_AFTER * playlist.target_seconds)
        self._last, self._advanced_at = last, now
        if before is None:
            return Look(None, stalled=False)
        return Look(0.0, stalled=False, reset_from=before if last < before else None)
