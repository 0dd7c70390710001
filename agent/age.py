"""Age: how old what waits in the spool is, whatever the PC's wall clock shows. Pure."""

from agent.segments import Segment


class Age:
    """Tells a time in which no wall clock can leap: how long the agent has run, over its runs.

    Within a run the monotonic clock counts. It goes on from the newest stamp an earlier run left,
    so the time between two runs, which only a wall clock could tell, makes nothing older. An hour,
    or a year, that the clock is off costs no batch; where it errs, the size is still bounded.
    """

    def __init__(self) -> None:
        self.now_ms = 0.0
        self._from_ms = 0.0
        self._from_ns: int | None = None

    def begin(self, segments: list[Segment]) -> None:
        """Go on behind what earlier runs left, oldest first.

        Stamps that go back are of a clock that was set: what came later is not older.
        """
        for segment in segments:
            if segment.newest_ms is not None:
                segment.newest_ms = max(int(self._from_ms), segment.newest_ms)
                self._from_ms = segment.newest_ms
        self.now_ms = self._from_ms

    def tick(self, mono_ns: int) -> None:
        """Hear what the monotonic clock reads."""
        if self._from_ns is None:
            self._from_ns = mono_ns
        self.now_ms = self._from_ms + (mono_ns - self._from_ns) / 1e6
