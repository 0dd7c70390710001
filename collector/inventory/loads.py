"""What a run of a BY_SLOT kind loads, and how many of them an uplink and a line bear.

All figures are for one direction; the other one carries the same, or less.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agent.probes import BY_SLOT, PROBES
from agent.wire import STREAMS
from collector.inventory.model import (
    Inventory,
    Load,
    LoadTests,
    Profile,
    RawCheck,
    Series,
    Uplink,
)
from collector.inventory.problems import known

GUARD_SECONDS = 5.0
"""Between two runs: what a late begin and stragglers may take."""
LINE_SHARE = 0.5
"""Of a line's contract, at most: behind it an office works."""
UNKNOWN_MBIT_S = 4.0
"""What a line is taken to have whose contract nobody wrote down."""


def load_of(kind: str, params: Any) -> tuple[float, float, int]:
    """Return (bits per second, seconds, most bytes) of one run; bytes are UDP's or HTTP's own."""
    if kind == "media":
        stream = STREAMS[params.stream]
        packets = math.ceil(stream.packets_per_second * params.seconds)
        return stream.bits_per_second, float(params.seconds), packets * stream.udp_bytes
    if kind == "throughput":
        return float(params.max_bit_s), float(params.max_seconds), int(params.max_bytes)
    raise ValueError(f"{kind} loads nobody so much that it needs a slot")


def is_sound(kind: str, params: Any) -> bool:
    """Whether a run is a voice's: thin and even, bearable while people confer."""
    return kind == "media" and not STREAMS[params.stream].frames_per_second


def allows(load_tests: LoadTests, *, sound: bool) -> bool:
    """Whether a phase allows a run."""
    return load_tests == "all" or (load_tests == "sound" and sound)


def runs_at_once(uplink: Uplink, bits_per_second: float) -> int:
    """Return how many runs an uplink's share bears at a time."""
    return math.floor(uplink.bits_per_second * uplink.share / bits_per_second + 1e-9)


def round_seconds(runs: int, at_once: int, seconds: float) -> float:
    """Return how long it takes until each of many runs had its turn."""
    return math.ceil(runs / at_once) * (seconds + GUARD_SECONDS)


def line_limit(inventory: Inventory, series: Series) -> float:
    """Return the bits per second that a run may put on its line.

    Where the system chooses the line, the weakest one it may choose counts.
    """
    site = inventory.site_of_agent[series.agent]
    lines = [line for line in inventory.lines[site] if line.agent in {"", series.agent}]
    if series.line:
        lines = [line for line in lines if line.name == series.line]
    contracts = [line.contracted_mbit_s or UNKNOWN_MBIT_S for line in lines]
    return LINE_SHARE * min(contracts, default=UNKNOWN_MBIT_S) * 1e6


def host_of(target: str) -> str:
    """Return the host that a target names: of a URL, of host:port, or alone; "" where none is."""
    try:
        return urlsplit(target if "://" in target else f"//{target}").hostname or ""
    except ValueError:
        return ""


def uplink_of(target: str, uplinks: Mapping[str, Uplink]) -> str:
    """Return which uplink leads to a target; "" where none is said to."""
    host = host_of(target)
    return next((name for name, uplink in uplinks.items() if host in uplink.hosts), "")


def read_loads(
    check: RawCheck,
    params: Mapping[str, Any],
    targets: Iterable[str],
    uplinks: Mapping[str, Uplink],
) -> dict[str, Load]:
    """Return what a check loads by target, those that no uplink leads to left out."""
    if check.kind not in BY_SLOT:
        return {}
    given: Any = msgspec.convert(params, PROBES[check.kind].Params)
    bits_per_second, seconds, max_bytes = load_of(check.kind, given)
    return {
        target: Load(
            uplink=uplink,
            bits_per_second=bits_per_second,
            seconds=seconds,
            max_bytes=max_bytes,
            sound=is_sound(check.kind, given),
            stream=given.stream if check.kind == "media" else "",
        )
        for target in targets
        if (uplink := uplink_of(target, uplinks))
    }


def mistakes_of_loads(
    check: RawCheck,
    loads: Mapping[str, Load],
    targets: Iterable[str],
    uplinks: Mapping[str, Uplink],
    profiles: Mapping[str, Profile],
) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem of what would load too much, or could never run."""
    for target in targets:
        if target not in loads:
            hosts = [host for uplink in uplinks.values() for host in uplink.hosts]
            host = host_of(target)
            yield (
                "targets",
                f"{host!r} is no host of an uplink of province.yml; {known(host, hosts)}",
            )
    for load in loads.values():
        uplink = uplinks[load.uplink]
        if not runs_at_once(uplink, load.bits_per_second):
            found = f"a run loads {load.bits_per_second / 1e6:.4g} Mbit/s"
            bears = (
                f"{uplink.mbit_s * uplink.share:g} Mbit/s ({uplink.mbit_s:g} x {uplink.share:g})"
            )
            yield "params", f"{found}, uplink {load.uplink!r} has {bears} for all of them"
    if loads:
        yield from _mistakes_of_time(check, next(iter(loads.values())), profiles)


def _mistakes_of_time(
    check: RawCheck, load: Load, profiles: Mapping[str, Profile]
) -> Iterator[tuple[str, str]]:
    least = load.seconds + GUARD_SECONDS
    takes = f"a run takes {load.seconds:g} s, expected {least:g} or more"
    if check.timeout_seconds < least:
        yield "timeout_seconds", f"is {check.timeout_seconds:g}, but {takes}"
    for name, profile in profiles.items():
        every = check.interval_seconds * profile.interval_factor
        if every < least:
            yield "interval_seconds", f"is {every:g} by profile {name}, but {takes}"
    if not any(allows(profile.load_tests, sound=load.sound) for profile in profiles.values()):
        words = ", ".join(f"{name} {profile.load_tests}" for name, profile in profiles.items())
        what = "sound" if load.sound else "more than sound"
        yield "kind", f"loads the uplink with {what}, which no profile allows: {words}"
