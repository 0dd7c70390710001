"""All checks resolved: the configuration of every agent, and every series there can be."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agent.config import AgentConfig, Check, Line, mistakes
from agent.probes import BY_SLOT
from collector.inventory.loads import mistakes_of_loads, read_loads
from collector.inventory.model import Load, RawCheck, Series
from collector.inventory.resolve import Resolved, note_mistakes_alone, resolve, some
from collector.inventory.selection import Places

EXTERNAL_SECONDS = 300.0
"""A system of the whole country is asked at most once in this time by a site."""
Note = Callable[[str, str, str], None]
"""Notes a mistake: check, key of the check, what is wrong."""


@dataclass(slots=True)
class Compiled:
    """What the checks come to, by the default profile."""

    configs: dict[str, AgentConfig] = field(default_factory=dict)
    subjects: dict[Series, str] = field(default_factory=dict)
    series_of_agent: dict[str, tuple[Series, ...]] = field(default_factory=dict)
    interval_of: dict[Series, float] = field(default_factory=dict)
    loads: dict[Series, Load] = field(default_factory=dict)


def compile_checks(
    checks: list[RawCheck], places: Places, note: Note, *, doubted: set[str], whole: bool
) -> Compiled:
    """Resolve every check for every agent; mistakes are noted and their checks left out.

    `doubted` checks are incomplete: only what is wrong in any case is told of them.
    `whole` False: rows of the tables were left out, so finding nothing is no mistake.
    """
    compiled = Compiled()
    rates = places.profiles[places.default_profile]
    of_agent: dict[str, list[Check]] = {agent: [] for agent, _ in places.agents()}
    asked: dict[str, dict[str, list[tuple[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for check in checks:
        if check.id in doubted:
            note_mistakes_alone(check, places, _for(check, note))
            continue
        interval = check.interval_seconds * rates.interval_factor
        resolved = resolve(check, places, _for(check, note), whole=whole)
        loads = _loads(check, resolved, places, _for(check, note))
        for at in resolved:
            of_agent[at.agent] += _as_told(check, interval, at)
            for run in at.runs:
                series = Series(at.agent, check.id, run.target, run.line)
                compiled.subjects[series] = run.subject
                compiled.interval_of[series] = interval
                if run.target in loads:
                    compiled.loads[series] = loads[run.target]
            if places.systems[check.system].scope == "external" and check.kind != "dns":
                rate = len(at.runs) / check.interval_seconds
                asked[check.system][at.site.id].append((check.id, rate))
    for system, sites in asked.items():
        _mind_external(system, sites, places, note)
    for agent, site in places.agents():
        compiled.configs[agent] = AgentConfig(
            version=0,
            agent=agent,
            batch_seconds=rates.batch_seconds,
            lines=[
                Line(
                    name=line.name,
                    select=line.select,
                    source=line.source,
                    interface=line.interface,
                    anchor=line.anchor,
                )
                for line in places.lines_of(agent, site)
            ],
            checks=of_agent[agent],
        )
    by_agent = defaultdict(list)
    for series in compiled.subjects:
        by_agent[series.agent].append(series)
    compiled.series_of_agent = {agent: tuple(by_agent[agent]) for agent in of_agent}
    return compiled


def refused_by_agents(compiled: Compiled, places: Places) -> list[str]:
    """Return what agents would refuse of their configurations as a whole: too much at once."""
    quickest = min(profile.interval_factor for profile in places.profiles.values())
    factor = quickest / places.profiles[places.default_profile].interval_factor
    problems = []
    for agent, config in compiled.configs.items():
        checks = [
            msgspec.structs.replace(check, interval_seconds=check.interval_seconds * factor)
            for check in config.checks
        ]
        problems += [f"agent {agent}: {problem}" for problem in mistakes(config.lines, checks)]
    return problems


def _as_told(check: RawCheck, interval: float, at: Resolved) -> list[Check]:
    """Return what the agent is told: lines with equal targets share one entry."""
    targets: dict[str, list[str]] = defaultdict(list)
    for run in at.runs:
        targets[run.line].append(run.target)
    lines: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for line, over in targets.items():
        lines[tuple(over)].append(line)
    return [
        Check(
            id=check.id,
            kind=check.kind,
            targets=list(over),
            params=at.params,
            interval_seconds=interval,
            timeout_seconds=check.timeout_seconds,
            lines=tuple(names),
            expect=check.expect,
        )
        for over, names in lines.items()
    ]


def _loads(
    check: RawCheck, resolved: list[Resolved], places: Places, note: Callable[[str, str], None]
) -> dict[str, Load]:
    """Return what a check loads by target; what is wrong with it is noted."""
    if check.kind not in BY_SLOT or not resolved or places.trunks is None:
        return {}
    targets = list(dict.fromkeys(run.target for at in resolved for run in at.runs))
    loads = read_loads(check, resolved[0].params, targets, places.trunks)
    wrong = mistakes_of_loads(check, loads, targets, places.trunks, places.profiles)
    for key, problem in dict.fromkeys(wrong):
        note(key, problem)
    return loads


def _mind_external(
    system: str, sites: dict[str, list[tuple[str, float]]], places: Places, note: Note
) -> None:
    """Refuse asking a system of the whole country too often: all checks of a site count together."""
    quickest = min(profile.interval_factor for profile in places.profiles.values())
    times = {
        site: sum(rate for _, rate in asked) * EXTERNAL_SECONDS / quickest
        for site, asked in sites.items()
    }
    worst = max(times, key=lambda site: times[site])
    if times[worst] > 1 + 1e-9:
        checks = list(dict.fromkeys(check for check, _ in sites[worst]))
        too_often = [site for site, count in times.items() if count > 1 + 1e-9]
        note(
            checks[0],
            "interval_seconds",
            f"system {system!r} is external and would be asked {times[worst]:.3g} times in "
            f"{EXTERNAL_SECONDS:g} s (checks {', '.join(checks)}; sites {some(too_often)}), "
            f"expected at most once by each site",
        )


def _for(check: RawCheck, note: Note) -> Callable[[str, str], None]:
    return lambda key, problem: note(check.id, key, problem)
