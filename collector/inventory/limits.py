"""Limits: from where on quality is poor, for each thing that is measured.

The defaults are the bounds between amber and red of docs/decisions/014: what people would complain
of. A profile may be stricter: the ceremony's is. No law sets these figures for TSLCD, nor for video.
"""

from collections.abc import Iterator

from msgspec import Struct


class WebLimits(Struct, frozen=True, kw_only=True):
    """When a page is slow: the whole of it, from resolving its name to the last byte."""

    delay_from_seconds: float = 3.0
    """Up to this nothing is slow, however much quicker it usually is."""
    delay_factor: float = 3.0
    """More than this many times what is usual there is slow."""
    delay_seconds: float = 8.0
    """Beyond this it is slow whatever is usual."""


class PathLimits(WebLimits, frozen=True, kw_only=True):
    """When a path is poor. Its delays are round trips."""

    loss: float
    """Share of the packets, 0 to 1."""
    jitter_seconds: float


class LanLimits(PathLimits, frozen=True, kw_only=True):
    """From the PC to its router. Nobody is told of it; it acquits the line behind."""

    delay_from_seconds: float = 0.02
    delay_seconds: float = 0.1
    loss: float = 0.01
    jitter_seconds: float = 0.02


class InternetLimits(PathLimits, frozen=True, kw_only=True):
    """From a site to the anchors of the carriers."""

    delay_from_seconds: float = 0.1
    delay_seconds: float = 0.3
    loss: float = 0.03
    jitter_seconds: float = 0.05


class TslcdLimits(PathLimits, frozen=True, kw_only=True):
    """From a site to the provincial node."""

    delay_from_seconds: float = 0.05
    delay_seconds: float = 0.15
    loss: float = 0.01
    jitter_seconds: float = 0.03


class ConferenceLimits(PathLimits, frozen=True, kw_only=True):
    """From a site to the conference bridge, by echoes and by media tests."""

    delay_from_seconds: float = 0.15
    delay_seconds: float = 0.3
    loss: float = 0.01
    """Of media also what comes too late to be played."""
    jitter_seconds: float = 0.05
    mos: float = 3.6
    """Estimated opinion of a call, 1 to 4.5: below this it is poor."""


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of a profile."""

    lan: LanLimits = LanLimits()
    internet: InternetLimits = InternetLimits()
    tslcd: TslcdLimits = TslcdLimits()
    conference: ConferenceLimits = ConferenceLimits()
    web: WebLimits = WebLimits()


def mistakes_of_limits(path: str, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with limits: their key path and what was expected."""
    for name in Limits.__struct_fields__:
        for place, problem in _mistakes(getattr(limits, name)):
            yield f"{path}.{name}.{place}", problem


def _mistakes(one: WebLimits) -> Iterator[tuple[str, str]]:
    if not 0 < one.delay_seconds <= 60:
        yield "delay_seconds", f"found {one.delay_seconds:g}, expected more than 0, at most 60"
    elif not 0 <= one.delay_from_seconds <= one.delay_seconds:
        found = f"found {one.delay_from_seconds:g}"
        yield (
            "delay_from_seconds",
            f"{found}, expected 0 to the delay_seconds, {one.delay_seconds:g}",
        )
    if not 1 < one.delay_factor <= 100:
        yield "delay_factor", f"found {one.delay_factor:g}, expected more than 1, at most 100"
    if not isinstance(one, PathLimits):
        return
    if not 0 < one.loss <= 1:
        yield "loss", f"found {one.loss:g}, expected a share: more than 0, at most 1"
    if not 0 < one.jitter_seconds <= 10:
        yield "jitter_seconds", f"found {one.jitter_seconds:g}, expected more than 0, at most 10"
    if isinstance(one, ConferenceLimits) and not 1 <= one.mos <= 4.5:
        yield "mos", f"found {one.mos:g}, expected 1 to 4.5"
