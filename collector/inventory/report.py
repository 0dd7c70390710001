"""What `thongsuot-collector check-config` prints: who runs what, and what that sends to whom."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from agent.config import Check
from agent.probes import PROBES
from collector.inventory.loads import (
    UNKNOWN_MBIT_S,
    allows,
    line_limit,
    round_seconds,
    runs_at_once,
)
from collector.inventory.model import SITE_KINDS, Inventory, Load, Scope, Series
from collector.inventory.problems import FolderError, known
from collector.inventory.resolve import some

SHOWN = 12
"""Targets listed per system; the rest are summed up in a line."""
SCOPES: dict[Scope, str] = {
    "external": "External systems, asked by the whole country",
    "central": "Central systems of the province",
    "site": "Systems of each site",
}


def report(inventory: Inventory, agent: str | None = None) -> str:
    """Return the whole province in words, or one agent in full. FolderError: no such agent."""
    if agent is not None:
        if agent not in inventory.configs:
            raise FolderError([f"agent {agent!r}: {known(agent, inventory.configs)}"])
        return "\n".join(_agent_in_full(inventory, agent)) + "\n"
    parts = [_head(inventory), _by_kind(inventory), _example(inventory), _loads(inventory)]
    parts += [_trunks(inventory)] if inventory.loads else []
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(inventory: Inventory) -> Iterator[str]:
    series = len(inventory.subjects)
    yield f"{inventory.name.vi} ({inventory.id}): nothing to mend"
    yield (
        f"{len(inventory.sites)} sites, {len(inventory.configs)} agents, "
        f"{len(inventory.checks)} checks, {series:,} series"
    )
    for name, profile in inventory.profiles.items():
        default = ", unless a phase says otherwise" if name == inventory.default_profile else ""
        yield (
            f"profile {name}: a push each {profile.batch_seconds:g} s, silent after "
            f"{profile.silent_after_seconds:g} s, intervals x {profile.interval_factor:g}{default}"
        )
    for name, phase in inventory.phases.items():
        yield f"phase {name}: {phase.begins:%d/%m/%Y %H:%M} to {phase.ends:%d/%m/%Y %H:%M}, {phase.profile}"


def _by_kind(inventory: Inventory) -> Iterator[str]:
    yield f"What each kind of site runs (requests a minute of one agent, {_names(inventory)})"
    for kind in SITE_KINDS:
        sites = [site for site in inventory.sites.values() if site.kind == kind]
        agents = [agent for site in sites for agent in site.agents]
        if not agents:
            continue
        checks = [len({check.id for check in inventory.configs[agent].checks}) for agent in agents]
        series = [len(inventory.series_of_agent[agent]) for agent in agents]
        busiest = max(agents, key=lambda agent: _agent_rate(inventory, agent))
        rates = _rates(inventory, _agent_rate(inventory, busiest))
        yield (
            f"  {kind}: sites {len(sites)}, agents {len(agents)}, checks {_range(checks)}, "
            f"targets {_range(series)}, requests at most {rates}"
        )
    idle = [agent for agent, config in inventory.configs.items() if not config.checks]
    if idle:
        yield f"  nothing to do: {some(idle)}"


def _example(inventory: Inventory) -> Iterator[str]:
    first = next(iter(inventory.configs), "")
    return _agent_in_full(inventory, first) if first else iter(["No agent."])


def _agent_in_full(inventory: Inventory, agent: str) -> Iterator[str]:
    config = inventory.configs[agent]
    site = inventory.sites[inventory.site_of_agent[agent]]
    yield f"Agent {agent}, {site.name} ({site.former_province}), in full"
    for line in config.lines:
        by = {"source": line.source, "interface": line.interface, "anchor": line.anchor}
        how = f"{line.select} {by[line.select]}" if line.select in by else "cannot be chosen"
        yield f"  line {line.name}: {how}"
    loads = {series.check: load for series, load in inventory.loads.items()}
    for _, alike in groupby(config.checks, key=lambda check: (check.id, check.lines)):
        check, *others = alike
        info = inventory.checks[check.id]
        every = ", ".join(
            f"{info.interval_seconds * factor:g} s {names}"
            for factor, names in _paces(inventory, loads.get(check.id)).items()
        )
        over = "" if check.lines == ("",) else f" over {', '.join(check.lines)}"
        closed = ", must not answer" if check.expect == "unreachable" else ""
        yield f"  {check.id} ({check.kind}, {info.system}/{info.layer}): every {every}{over}{closed}"
        if check.params:
            yield f"    {msgspec.json.encode(check.params).decode()}"
        yield from (f"    {target}" for target in check.targets[:SHOWN])
        more = len(check.targets[SHOWN:]) + sum(len(other.targets) for other in others)
        if more:
            yield f"    and {more} more" + (", with params of their own" if others else "")


def _loads(inventory: Inventory) -> Iterator[str]:
    """Yield requests a minute of all agents together: by system, then by target."""
    shared: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    local: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    by_site: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for agent, config in inventory.configs.items():
        site = inventory.site_of_agent[agent]
        for check in config.checks:
            info = inventory.checks[check.id]
            rate = _rate(inventory, check)
            by_site[info.system][site] += 0 if info.local else rate * len(check.targets)
            for target in check.targets:
                place, name = (local, site) if info.local else (shared, target)
                place[info.system][name] += rate
    yield f"What all agents together send, requests a minute ({_names(inventory)})"
    yield "An icmp run counts as the packets of its burst. A run whose outcome changed is repeated"
    yield "at once, and http follows redirects: both come on top."
    for scope, title in SCOPES.items():
        yield f"{title}:"
        for system, about in inventory.systems.items():
            if about.scope != scope or system not in by_site:
                continue
            yield f"  {system} ({about.name.vi})"
            yield from _load(inventory, shared[system], by_site[system])
            if local[system]:
                yield f"    within each office: at most {_rates(inventory, max(local[system].values()))}"


def _load(
    inventory: Inventory, targets: dict[str, float], sites: dict[str, float]
) -> Iterator[str]:
    if not targets:
        return
    total = _rates(inventory, sum(targets.values()))
    askers = sum(rate > 0 for rate in sites.values())
    one = _rates(inventory, max(sites.values()))
    yield f"    together {total}; sites that ask: {askers}, the busiest {one}"
    in_order = sorted(targets.items(), key=lambda item: -item[1])
    for target, rate in in_order[:SHOWN]:
        yield f"    {target}: {_rates(inventory, rate)}"
    if in_order[SHOWN:]:
        most = _rates(inventory, in_order[SHOWN][1])
        yield f"    and {len(in_order) - SHOWN} more, each at most {most}"


def _trunks(inventory: Inventory) -> Iterator[str]:
    """Yield what runs that need a slot put on each trunk: how many at once, how long a round."""
    yield "What runs in slots only, so that no trunk bears more than its share"
    for name, trunk in inventory.trunks.items():
        share = f"{trunk.share:.0%} of {trunk.mbit_s:g} Mbit/s"
        yield f"  {name} ({trunk.name.vi}): {share} for all of them together"
        of_check: dict[str, list[Series]] = defaultdict(list)
        for series, load in inventory.loads.items():
            if load.trunk == name:
                of_check[series.check].append(series)
        for check, runs in of_check.items():
            load = inventory.loads[runs[0]]
            at_once = min(runs_at_once(trunk, load.bits_per_second), len(runs))
            yield (
                f"    {check}: {len(runs)} runs of {load.bits_per_second / 1e6:.4g} Mbit/s, "
                f"{load.seconds:g} s; {at_once} at once, a round of all takes "
                f"{round_seconds(len(runs), at_once, load.seconds):g} s"
            )
            never = [one for one in runs if line_limit(inventory, one) < load.bits_per_second]
            if never:
                yield (
                    f"      never at {some([one.agent for one in never])}: more than half of the "
                    f"line's contract (lines.csv; {UNKNOWN_MBIT_S:g} Mbit/s where it is not known)"
                )


def _agent_rate(inventory: Inventory, agent: str) -> float:
    checks = inventory.configs[agent].checks
    return sum(_rate(inventory, check) * len(check.targets) for check in checks)


def _rate(inventory: Inventory, check: Check) -> float:
    """Return requests a minute to one target of a check, by intervals as written."""
    params: Any = msgspec.convert(check.params, PROBES[check.kind].Params)
    burst = getattr(params, "count", 1)
    return burst * len(check.lines) * 60 / inventory.checks[check.id].interval_seconds


def _rates(inventory: Inventory, rate: float) -> str:
    return " / ".join(f"{rate / factor:,.1f}" for factor in _paces(inventory))


def _names(inventory: Inventory) -> str:
    return " / ".join(_paces(inventory).values())


def _paces(inventory: Inventory, load: Load | None = None) -> dict[float, str]:
    """Return each interval factor -> the profiles that have it, and allow the load if there is one."""
    paces: dict[float, list[str]] = {}
    for name, profile in inventory.profiles.items():
        if load is None or allows(profile.load_tests, sound=load.sound):
            paces.setdefault(profile.interval_factor, []).append(name)
    return {factor: ", ".join(names) for factor, names in paces.items()}


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
