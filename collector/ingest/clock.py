"""Clock: the one time a sample gets, worked out once, when it is journalled.

An agent's wall clock may be wrong, and may step while it is being mended. Its monotonic clock never
steps within one boot of the machine, so all that is needed is the centre's time at which it read 0:
the *anchor* of (agent, machine boot). Agents learn it from round trips and send it along; where
they cannot yet, the arrival of a push bounds it from above.

Pure: the state is what `learn` was given, times are the centre's UTC seconds.
"""

from collections.abc import Iterable

from msgspec import Struct

from agent.wire import Batch, Push

MAX_AHEAD_SECONDS = 10.0
"""A sample further ahead of the centre's clock than this is quarantined: one sample three days
ahead stops a whole Prometheus."""
ARRIVAL_ERROR_SECONDS = 1.0
"""How far the true anchor is taken to lie before an arrival, where nothing better is known."""
MAX_TRANSIT_SECONDS = 60.0
"""A push is on its way no longer than this: the server closes slower connections."""
DRIFT = 50e-6
"""Seconds of error an anchor gains per second of age: what a PC's quartz may be off."""
_FINEST_ERROR_SECONDS = 0.01
_SLACK_SECONDS = 0.25
_WORTH_KEEPING = 0.8
_MAX_BOOTS_OF_AGENT = 64


class Anchor(Struct, frozen=True, kw_only=True):
    """When a machine's monotonic clock read 0, by the centre's clock."""

    agent: str
    machine_boot: str
    at: float
    error: float
    """Seconds: the true value is taken to lie within ± this."""
    learned_mono: float
    """The machine's monotonic seconds when this was learned: tells its age."""

    def error_at(self, mono: float) -> float:
        """Return the error, grown by the drift until this monotonic moment."""
        return self.error + DRIFT * max(0.0, mono - self.learned_mono)


class Corrected(Struct, frozen=True, kw_only=True):
    """The times of a batch's samples."""

    times: list[float]
    trusted: bool
    """False when they rest on a wall clock that nobody vouches for (`time_untrusted`)."""
    quarantined: list[int]
    """Indexes of samples that lie ahead of the centre: kept, and applied to nothing."""


class Clocks:
    """The anchors of all agents' machines."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        """Start from what was kept, oldest first."""
        self._anchors: dict[str, dict[str, Anchor]] = {}
        for anchor in anchors:
            self._keep(anchor)

    def learn(self, push: Push, received_at: float) -> Anchor | None:
        """Take what a push says of its machine's clock.

        Returns the anchor when it is a new or notably better one, to be kept over a restart.
        """
        mono = push.sent.mono_ns / 1e9
        arrival = received_at - mono
        given = _given(push, arrival, mono)
        candidate = given or Anchor(
            agent=push.agent,
            machine_boot=push.machine_boot,
            at=arrival,
            error=ARRIVAL_ERROR_SECONDS,
            learned_mono=mono,
        )
        kept = self.anchor(push.agent, push.machine_boot)
        if kept is not None and _possible(kept.at, arrival, kept.error_at(mono)):
            kept_error = kept.error_at(mono)
            if given is None and kept.error >= ARRIVAL_ERROR_SECONDS:
                # Two arrivals: the one that was on its way for less time is nearer to the truth.
                if arrival >= kept.at - (kept_error - kept.error):
                    return None
            elif candidate.error > kept_error * _WORTH_KEEPING:
                return None
        self._keep(candidate)
        return candidate

    def forget(self, anchor: Anchor) -> None:
        """Unlearn what could not be kept, so that the next push teaches it again."""
        self._anchors.get(anchor.agent, {}).pop(anchor.machine_boot, None)

    def anchor(self, agent: str, machine_boot: str) -> Anchor | None:
        """Return what is known of one boot of an agent's machine."""
        return self._anchors.get(agent, {}).get(machine_boot)

    def correct(self, batch: Batch, received_at: float) -> Corrected:
        """Return the times of a batch's samples by the centre's clock."""
        anchor = self.anchor(batch.agent, batch.machine_boot)
        if anchor is None:
            times = [sample.start.wall_ms / 1e3 for sample in batch.samples]
        else:
            at = anchor.at
            times = [at + sample.start.mono_ns / 1e9 for sample in batch.samples]
        latest = received_at + MAX_AHEAD_SECONDS
        return Corrected(
            times=times,
            trusted=anchor is not None or batch.synchronised,
            quarantined=[index for index, time in enumerate(times) if time > latest],
        )

    def _keep(self, anchor: Anchor) -> None:
        boots = self._anchors.setdefault(anchor.agent, {})
        boots.pop(anchor.machine_boot, None)
        boots[anchor.machine_boot] = anchor
        if len(boots) > _MAX_BOOTS_OF_AGENT:
            del boots[next(iter(boots))]


def _given(push: Push, arrival: float, mono: float) -> Anchor | None:
    """Return the agent's own anchor if it can be true."""
    if push.anchor is None or push.anchor_error is None:
        return None
    if not _possible(push.anchor, arrival, push.anchor_error):
        return None
    if push.anchor_error >= ARRIVAL_ERROR_SECONDS:
        return None
    return Anchor(
        agent=push.agent,
        machine_boot=push.machine_boot,
        at=push.anchor,
        error=max(push.anchor_error, _FINEST_ERROR_SECONDS),
        learned_mono=mono,
    )


def _possible(anchor: float, arrival: float, error: float) -> bool:
    """Whether a push sent by this anchor was sent before it arrived, and not absurdly long."""
    transit = arrival - anchor
    return -(error + _SLACK_SECONDS) <= transit <= MAX_TRANSIT_SECONDS + error
