"""From a media session's figures to how a call over it would sound: R and MOS of the E-model."""

from typing import NamedTuple

from agent.probes.emodel import Codec, is_extrapolated, mos, rate_echo_free
from agent.probes.media_stats import Direction, Figures

PACKET_SECONDS = 0.020
"""Speech of one packet, which is spoken before it can be sent; G.711 looks no further ahead."""
MIN_BUFFER_SECONDS = 0.020
"""Least jitter buffer of a listener. It grows to hold 99 of 100 packets; the others are lost."""
MIXING_SECONDS = 0.010
"""What the conference bridge takes to mix the voices."""


class Quality(NamedTuple):
    """How a call sounds to the end that hears it worse."""

    r: float
    mos: float
    extrapolated: bool
    """Loss or bursts go beyond what the model was fitted to."""
    half_rtt: bool
    """The way's delay is half the round trip's, for want of synchronised clocks."""
    one_way_seconds: float
    """From mouth to ear."""


def quality(figures: Figures, codec: Codec) -> Quality | None:
    """Return how speech of a codec would sound; None without a reply.

    Variation is counted once each way: as the buffer that waits for it, or as the loss of what the
    buffer did not wait for. So the network's own delay is its least. A range of loss counts as its
    worst, and bursts as the round trip's where those of one direction cannot be told.
    """
    rated = [_rate(figures, one, codec) for one in (figures.forward, figures.backward)]
    return min((one for one in rated if one), default=None)


def _rate(figures: Figures, way: Direction, codec: Codec) -> Quality | None:
    if not (figures.rtt and figures.loss and way.loss and way.variation):
        return None
    network = max(0.0, way.delay.quantile(0)) if way.delay else figures.rtt.quantile(0) / 2
    buffer = max(MIN_BUFFER_SECONDS, way.variation.quantile(99))
    one_way = network + PACKET_SECONDS + buffer + MIXING_SECONDS
    late = way.variation.share_above(buffer)
    loss_percent = 100 * (way.loss.most + (1 - way.loss.most) * late)
    bursts = way.loss.burst_ratio or figures.loss.burst_ratio or 1.0
    r = rate_echo_free(
        codec, one_way_ms=one_way * 1000, loss_percent=loss_percent, burst_ratio=bursts
    )
    extrapolated = is_extrapolated(loss_percent, bursts)
    return Quality(r, mos(r), extrapolated, way.delay is None, one_way)
