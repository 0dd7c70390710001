"""Telling: how remote write fares with one receiver, in metrics and in the log."""

import contextlib
import logging
from collections.abc import Mapping

from collector.export.own import Own
from collector.export.parts import Answer, Part
from collector.export.picking import Lane, Pick

log = logging.getLogger(__name__)


class Telling:
    """One receiver's."""

    def __init__(self, receiver: str, own: Own) -> None:
        self.oldest: dict[Lane, float] = {}
        """Time of the oldest sample in hand, where there is one."""
        self._receiver = receiver
        self._own = own
        self._failing: dict[Lane, str] = {}

    def waiting(self, pending: Mapping[Lane, int], lost: int) -> None:
        """Tell how many batches each lane has before it, and how many are lost."""
        name = self._receiver
        self._own.remote_lost.labels(name).set(lost)
        for lane, batches in pending.items():
            self._own.remote_pending.labels(name, lane).set(batches)
            if batches and lane in self.oldest:
                self._own.remote_oldest.labels(name, lane).set(self.oldest[lane])
            else:
                with contextlib.suppress(KeyError):
                    self._own.remote_oldest.remove(name, lane)

    def answered(self, lane: Lane, answer: Answer, part: Part) -> None:
        """Tell what became of a request; of a row that fails only the first is logged."""
        name = self._receiver
        self._own.remote_requests.labels(name, str(answer.code)).inc()
        if answer.verdict == "taken":
            self._own.remote_sent.labels(name, lane).inc(part.points)
            if self._failing.pop(lane, None):
                log.warning("remote write goes on receiver=%s lane=%s", name, lane)
        elif lane not in self._failing:
            self._failing[lane] = answer.said
            log.warning(
                "remote write is not taken receiver=%s lane=%s code=%d said=%s",
                name,
                lane,
                answer.code,
                answer.said,
            )

    def buried(self, part: Part) -> None:
        """Tell that samples are dead letters."""
        self._own.remote_dead.labels(self._receiver, str(part.last.code)).inc(part.points)

    def withheld(self, pick: Pick) -> None:
        """Tell what is never sent to this receiver."""
        name = self._receiver
        for reason, points in pick.withheld.items():
            self._own.remote_withheld.labels(name, reason).inc(points)
        if pick.too_old:
            first, last = pick.too_old
            log.warning(
                "too old for the receiver, see thongsuot-collector export openmetrics"
                " receiver=%s samples=%d from=%.0f to=%.0f",
                name,
                pick.withheld["too_old"],
                first,
                last,
            )

    def again(self, lane: Lane, batches: int) -> None:
        """Tell that batches are sent again."""
        if batches:
            log.warning(
                "the receiver may have lost what it took last, it is sent again"
                " receiver=%s lane=%s batches=%d",
                self._receiver,
                lane,
                batches,
            )
