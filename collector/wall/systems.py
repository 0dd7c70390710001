"""How many places can use each system, from the confirmed state of every series. Pure."""

from collections.abc import Mapping

from collector.inventory.model import Inventory, Series
from collector.state.states import AgentState, SeriesState
from collector.wall.names import abbreviated
from collector.wall.page import Bar, SystemCount

UP, DOWN = 1, 2
# What the series of one place and one system say together -> what is shown.
STATES = {0: "silent", UP: "ok", DOWN: "down", UP | DOWN: "degraded"}
SMALLEST_BAR = 1.5
"""Per cent: one place of 166 must still be seen from across a room."""


def system_counts(
    inventory: Inventory,
    series: Mapping[Series, SeriesState],
    agents: Mapping[str, AgentState],
    lang: str,
) -> tuple[SystemCount, ...]:
    """Count the places of every system that is measured somewhere.

    Those that fail somewhere come first, else in the order of the files.
    A place is fine when all its series that are known are up, degraded when only some are, and
    unknown when none is known or the one who measures is not heard.
    """
    system_of = {check.id: check.system for check in inventory.checks.values()}
    said: dict[str, dict[str, int]] = {system: {} for system in inventory.systems}
    live = {agent for agent, state in agents.items() if state.contact == "live"}
    for key, state in series.items():
        places = said[system_of[key.check]]
        before = places.get(state.site, 0)
        if key.agent in live and state.state != "unknown":
            places[state.site] = before | (UP if state.state == "up" else DOWN)
        else:
            places[state.site] = before
    counts = [
        _count(abbreviated(getattr(inventory.systems[system].name, lang)), places)
        for system, places in said.items()
        if places
    ]
    return tuple(sorted(counts, key=lambda count: not count.failing))


def _count(name: str, places: Mapping[str, int]) -> SystemCount:
    counts = dict.fromkeys(("ok", "degraded", "down", "silent"), 0)
    for said in places.values():
        counts[STATES[said]] += 1
    return SystemCount(
        name=name,
        good=counts["ok"],
        of=len(places),
        failing=counts["down"] + counts["degraded"] > 0,
        bars=bars(counts),
    )


def bars(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    """Cut a meter of 100 per cent into parts; none that is not empty is too small to be seen."""
    total = sum(counts.values())
    widths = {state: max(n / total * 100, SMALLEST_BAR) for state, n in counts.items() if n}
    widest = max(widths, key=widths.__getitem__)
    widths[widest] -= sum(widths.values()) - 100
    parts, x = [], 0.0
    for state, width in widths.items():
        gap = 0.3 if state != list(widths)[-1] else 0.0
        parts.append(Bar(state, round(x, 2), round(width - gap, 2)))
        x += width
    return tuple(parts)
