"""How fast bytes pass, and how long to hold them back so that they take no more than their share."""

LEFT_OUT = 0.25
"""Of the bytes, the first: while a connection finds its speed (TCP's slow start)."""
HEADERS = 0.05
"""Of what a line carries, what IP, TCP and TLS take for themselves."""
WORTH_SAYING = 0.1


class Meter:
    """One transfer, as it goes on. Pure: times are monotonic seconds, given by who measures."""

    def __init__(self, begun: float, max_bits_per_second: float) -> None:
        self._begun = begun
        self._share = max_bits_per_second / 8 * (1 - HEADERS)
        self._marks = [(begun, 0)]
        self._held = 0.0

    @property
    def bytes(self) -> int:
        """What has passed."""
        return self._marks[-1][1]

    @property
    def seconds(self) -> float:
        """How long it took, all in all."""
        return self._marks[-1][0] - self._begun

    def mark(self, now: float, total: int) -> None:
        """Take down how much had passed by now."""
        self._marks.append((now, total))

    def hold(self, now: float, total: int) -> float:
        """Return how long to wait until so much may have passed, all in all."""
        wait = max(0.0, self._begun + total / self._share - now)
        self._held += wait
        return wait

    def through_by(self, now: float, waiting: int) -> float:
        """Return when what still waits to pass will have, at the speed so far."""
        took = now - self._begun
        return now + waiting * took / self.bytes if self.bytes else now

    def limited_by(self, ended_by: str) -> str:
        """Return `share` where it was we who held the bytes back, else how the transfer ended."""
        return "share" if self._held > WORTH_SAYING * self.seconds else ended_by

    def bytes_per_second(self) -> float | None:
        """Return the speed once it was found; None where nothing passed, or in no time."""
        ended, total = self._marks[-1]
        at, left_out = [mark for mark in self._marks if mark[1] <= LEFT_OUT * total][-1]
        return (total - left_out) / (ended - at) if left_out < total and at < ended else None
