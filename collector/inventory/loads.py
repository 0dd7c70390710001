"""What a run of a BY_SLOT kind loads, and how many of them a trunk and a line bear.

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
    Trunk,
)
from collector.inventory.problems import known

AROUND_SECONDS = 10.0
"""What a run may take beside its load: the name, the opening, the stragglers, the totals."""
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


def runs_at_once(trunk: Trunk, bits_per_second: float) -> int:
    """Return how many runs a trunk's share bears at a time."""
    return math.floor(trunk.bits_per_second * trunk.share / bits_per_second + 1e-9)


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


def trunk_of(target: str, trunks: Mapping[str, Trunk]) -> str:
    """Return which trunk leads to a target; "" where none is said to."""
    host = host_of(target)
    return next((name for name, trunk in trunks.items() if host in trunk.hosts), "")


def read_loads(
    check: RawCheck,
    params: Mapping[str, Any],
    targets: Iterable[str],
    trunks: Mapping[str, Trunk],
) -> dict[str, Load]:
    """Return what a check loads by target, those that no trunk leads to left out."""
    if check.kind not in BY_SLOT:
        return {}
    given: Any = msgspec.convert(params, PROBES[check.kind].Params)
    bits_per_second, seconds, max_bytes = load_of(check.kind, given)
    return {
        target: Load(
            trunk=trunk,
            bits_per_second=bits_per_second,
            seconds=seconds,
            max_bytes=max_bytes,
            sound=is_sound(check.kind, given),
            stream=given.stream if check.kind == "media" else "",
        )
        for target in targets
        if (trunk := trunk_of(target, trunks))
    }


def mistakes_of_loads(
    check: RawCheck,
    loads: Mapping[str, Load],
    targets: Iterable[str],
    trunks: Mapping[str, Trunk],
    profiles: Mapping[str, Profile],
) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem of what would load too much, or could never run."""
    for target in targets:
        if target not in loads:
            hosts = [host for trunk in trunks.values() for host in trunk.hosts]
            host = host_of(target)
            yield (
                "targets",
                f"{host!r} is no host of a trunk of province.yml; {known(host, hosts)}",
            )
    for load in loads.values():
        trunk = trunks[load.trunk]
        if not runs_at_once(trunk, load.bits_per_second):
            found = f"a run loads {load.bits_per_second / 1e6:.4g} Mbit/s"
            bears = f"{trunk.mbit_s * trunk.share:g} Mbit/s ({trunk.mbit_s:g} x {trunk.share:g})"
            yield "params", f"{found}, trunk {load.trunk!r} has {bears} for all of them"
    if loads:
        yield from _mistakes_of_time(check, next(iter(loads.values())), profiles)


def _mistakes_of_time(
    check: RawCheck, load: Load, profiles: Mapping[str, Profile]
) -> Iterator[tuple[str, str]]:
    takes = f"but a run takes {load.seconds:g} s, expected"
    least = load.seconds + AROUND_SECONDS
    if check.timeout_seconds < least:
        yield "timeout_seconds", f"is {check.timeout_seconds:g}, {takes} {least:g} or more"
    least = load.seconds + GUARD_SECONDS
    for name, profile in profiles.items():
        every = check.interval_seconds * profile.interval_factor
        if every < least:
            yield "interval_seconds", f"is {every:g} by profile {name}, {takes} {least:g} or more"
    if not any(allows(profile.load_tests, sound=load.sound) for profile in profiles.values()):
        words = ", ".join(f"{name} {profile.load_tests}" for name, profile in profiles.items())
        what = "sound" if load.sound else "more than sound"
        yield "kind", f"loads the trunk with {what}, which no profile allows: {words}"
