"""One check of checks.yml against the places: its runs at each agent, and what is wrong with it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.config import MIN_INTERVAL_SECONDS, Check, mistakes
from collector.inventory import template
from collector.inventory.model import RawCheck, Site, SiteLine
from collector.inventory.problems import known
from collector.inventory.selection import Places, choose, choose_devices, unknown_words

Note = Callable[[str, str], None]
"""Notes a mistake: key of the check, what is wrong."""
MAX_INTERVAL_SECONDS = 86400.0
"""A state that is older than a day is no state."""
PER_AGENT = {"site.id", "site.name", "site.web"}
"""Fields that a check's params may use: those of the agent's site, or with `for_each: sites` of
the site that the target is made for."""


@dataclass(frozen=True, slots=True)
class Run:
    """One target over one line ("": the system chooses the route), and the site it speaks about."""

    line: str
    target: str
    subject: str


@dataclass(slots=True)
class Resolved:
    """What one check comes to at one agent, by one set of params."""

    agent: str
    site: Site
    params: dict[str, Any]
    runs: list[Run]


@dataclass(slots=True)
class Complaints:
    """Mistakes that show at many agents, told once with the first of them."""

    seen: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, key: str, problem: str, agent: str) -> None:
        """Note a problem at one agent."""
        self.seen[key, problem].append(agent)

    def tell(self, note: Note, agents: int) -> None:
        """Note each problem, naming agents unless it shows at all of them."""
        for (key, problem), seen in self.seen.items():
            where = list(dict.fromkeys(seen))
            note(key, problem if len(where) == agents else f"{problem} (at {some(where)})")


def some(words: list[str]) -> str:
    """Return the first of many words, and how many more there are."""
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    return ", ".join(words[:3]) + more


def resolve(check: RawCheck, places: Places, note: Note, *, whole: bool) -> list[Resolved]:
    """Return what a check comes to at each agent that runs it; nothing where it is wrong.

    `whole` False: rows of the tables were left out, so finding nothing is no mistake.
    """
    if note_mistakes_alone(check, places, note):
        return []
    agents = choose(check.agents, places)
    if not agents:
        if whole:
            note("agents", "selects no agent")
        return []
    complaints = Complaints()
    resolved = [
        at
        for agent, site in agents
        for at in _at_agent(check, places, agent, site, complaints)
        if at.runs
    ]
    refusals = Complaints()
    for at in resolved:
        for key, problem in _refused_by_agent(check, at):
            refusals.add(key, problem, at.agent)
    complaints.tell(note, len(agents))
    refusals.tell(note, len({at.agent for at in resolved}))
    if complaints.seen or refusals.seen:
        return []
    if not resolved and whole:
        note("targets", f"selects nothing: {_why_nothing(check)}")
    return resolved


def note_mistakes_alone(check: RawCheck, places: Places, note: Note) -> bool:
    """Note what is wrong whichever agent runs the check; whether there was anything."""
    wrong = list(_mistakes_alone(check, places))
    for key, problem in wrong:
        note(key, problem)
    return bool(wrong)


def _mistakes_alone(check: RawCheck, places: Places) -> Iterator[tuple[str, str]]:
    yield from unknown_words(check, places)
    for text in check.targets:
        for problem in template.mistakes(text):
            yield "targets", problem
    for text in template.texts(check.params):
        for problem in template.mistakes(text):
            yield "params", problem
        for name in sorted(template.fields(text) - PER_AGENT):
            yield "params", f"{{{name}}} can stand in targets only"
    yield from _mistakes_of_fields(check)
    for name, profile in places.profiles.items():
        seconds = check.interval_seconds * profile.interval_factor
        if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
            found = f"is {seconds:g} by profile {name} (factor {profile.interval_factor:g})"
            wanted = f"{MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g}"
            yield "interval_seconds", f"{found}, expected {wanted}"
    if not check.targets:
        yield "targets", "found none, expected at least one"
    if not (check.name.vi and check.name.en):
        yield "name", "expected text in both languages"
    if check.system not in places.systems:
        yield "system", f"found {check.system!r}; {known(check.system, places.systems)}"


def _mistakes_of_fields(check: RawCheck) -> Iterator[tuple[str, str]]:
    """Yield fields whose source the check does not name, and sources that no field uses."""
    if check.devices and check.for_each:
        yield "for_each", "devices are those of the agent's own office: leave one of them out"
    sources = {
        "device.": (check.devices is not None, "devices", "devices: {kind: [...]}"),
        "carrier.": (check.for_each == "carriers", "for_each", "for_each: carriers"),
        "line.": (check.line != "any", "line", "line: each, or a line's name"),
    }
    for text in check.targets:
        if template.mistakes(text):
            continue
        used = template.fields(text)
        for prefix, (given, _, wanted) in sources.items():
            if not given and any(name.startswith(prefix) for name in used):
                yield "targets", f"{text!r} needs {wanted}"
        must = {"sites": "site.", "carriers": "carrier."}.get(check.for_each)
        if check.devices:
            must = "device."
        if must and not any(name.startswith(must) for name in used):
            yield "targets", f"{text!r} would be the same each time, expected a {{{must}…}} in it"


def _at_agent(
    check: RawCheck, places: Places, agent: str, site: Site, complaints: Complaints
) -> list[Resolved]:
    """Return what a check comes to at an agent: once, or for each site that its params speak of."""
    own = {"site.id": site.id, "site.name": site.name, "site.web": site.web}
    texts = template.texts(check.params)
    by_site = check.for_each == "sites" and any(map(template.fields, texts))
    if not by_site and any(template.expand(text, own) is None for text in texts):
        return []  # the site has no web pages yet: no statement can be made about them
    parts: dict[str, Resolved] = {}
    made = set()
    for line in _lines(check, places, agent, site, complaints):
        over = {"line.name": line.name, "line.anchor": line.anchor} if line else {}
        for subject, values in _each(check, places, agent, site):
            fields = {**own, **over, **values}
            if by_site and any(template.expand(text, fields) is None for text in texts):
                continue
            params = template.expand_all(check.params, fields)
            part = parts.setdefault(subject if by_site else "", Resolved(agent, site, params, []))
            for text in check.targets:
                target = template.expand(text, fields)
                if target is None:
                    continue
                run = Run(line.name if line else "", target, subject)
                if (run.line, run.target) in made:
                    complaints.add("targets", f"{target!r} is made twice", agent)
                made.add((run.line, run.target))
                part.runs.append(run)
    return list(parts.values())


def _each(
    check: RawCheck, places: Places, agent: str, site: Site
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield what targets are made for: the site spoken about, and the values of its fields."""
    if check.for_each == "sites":
        for each in places.sites.values():
            yield each.id, {"site.id": each.id, "site.name": each.name, "site.web": each.web}
    elif check.for_each == "carriers":
        for carrier in places.carriers.values():
            for anchor in carrier.anchors:
                yield site.id, {"carrier.anchor": anchor}
    elif check.devices:
        for device in choose_devices(check.devices, places.devices_of(agent, site)):
            yield site.id, {"device.address": device.address}
    else:
        yield site.id, {}


def _lines(
    check: RawCheck, places: Places, agent: str, site: Site, complaints: Complaints
) -> list[SiteLine | None]:
    """Return the lines to measure over; None: the system chooses.

    A line that only its anchor leads over can carry nothing else, so without {line.anchor} in
    every target it is no line that can be chosen.
    """
    if check.line == "any":
        return [None]
    by_anchor = all("line.anchor" in template.fields(text) for text in check.targets)
    choosable = {"source", "interface", *(("anchor",) if by_anchor else ())}
    lines = places.lines_of(agent, site)
    if check.line != "each":
        lines = [line for line in lines if line.name == check.line]
        if not lines:
            problem = (
                f"there is no line {check.line!r}; agents: {{line: [...]}} selects who has one"
            )
            complaints.add("line", problem, agent)
        for line in lines:
            if line.select not in choosable:
                problem = f"line {line.name!r} has select {line.select!r}"
                needs = "its targets must be made of {line.anchor}"
                why = needs if line.select == "anchor" else "it cannot be chosen, use line: any"
                complaints.add("line", f"{problem}: {why}", agent)
    elif not any(line.select in choosable for line in lines):
        problem = "is each, but no line can be chosen (by lines.csv, column select)"
        complaints.add("line", problem, agent)
    chosen = [line for line in lines if line.select in choosable]
    for line in chosen:
        if by_anchor and not line.anchor:
            complaints.add("targets", f"line {line.name!r} has no anchor in lines.csv", agent)
    return list(chosen)


def _refused_by_agent(check: RawCheck, at: Resolved) -> Iterator[tuple[str, str]]:
    """Yield what the agent itself would refuse, by the key it speaks of."""
    told = Check(
        id=check.id,
        kind=check.kind,
        targets=list(dict.fromkeys(run.target for run in at.runs)),
        params=at.params,
        interval_seconds=max(check.interval_seconds, MIN_INTERVAL_SECONDS),
        timeout_seconds=check.timeout_seconds,
    )
    for problem in mistakes([], [told]):
        if problem.startswith(f"check {check.id}: "):
            words = problem.removeprefix(f"check {check.id}: ")
            first, _, rest = words.partition(" ")
            key = {"target": "targets"}.get(first, first.rstrip(":"))
            yield (key, rest) if key in RawCheck.__struct_fields__ else ("", words)


def _why_nothing(check: RawCheck) -> str:
    if check.devices:
        return "no such device stands with the selected agents (devices.csv)"
    if check.for_each == "carriers":
        return "no carrier has an anchor (province.yml)"
    return "no site concerned has a web host (sites.csv, column web)"
