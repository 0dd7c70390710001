"""Explain: what is wrong at one place, by which rule, and what every failing check is put down to.

Pure: the fleet as it was, what was found in it, and the incidents that were open then. For whoever
asks "why this page?" or "why none?". Facts and rules stay as diagnosis names them, in English.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from collector.diagnosis import words
from collector.diagnosis.diagnose import Diagnosis
from collector.diagnosis.finding import Finding
from collector.diagnosis.incident import Incident, Sign
from collector.inventory.model import Inventory, Series
from collector.state.fleet import Fleet
from collector.state.states import AgentState, SeriesState
from collector.wall.forms import age
from collector.wall.locale import TEXTS
from collector.wall.locale.texts import Texts
from collector.wall.names import counted, full_name

NAME_WIDTH = 26


class Words(NamedTuple):
    """The text around the facts."""

    nothing: str
    rule: str
    because: str
    part: str
    early: str
    alone: str
    incidents: str
    no_incident: str
    checks: str
    pc: str
    heard: str
    never: str
    since: str


WORDS = {
    "vi": Words(
        nothing="Không có gì bất thường tại đây vào lúc này.",
        rule="quy tắc",
        because="do",
        part="thuộc",
        early="chờ: đang hỏi lại các lớp bên dưới",
        alone="chưa quy được cho nguyên nhân nào",
        incidents="Sự cố đang mở",
        no_incident="Không có sự cố nào đang mở tại đây.",
        checks="Phép đo: {up} đạt, {down} không đạt, {unknown} chưa rõ",
        pc="Máy {agent}: {contact}, nghe lần cuối {age} trước",
        never="Máy {agent}: chưa từng báo về",
        heard="đang báo về",
        since="từ",
    ),
    "en": Words(
        nothing="Nothing is wrong here at this time.",
        rule="rule",
        because="because of",
        part="part of",
        early="waits: the layers below are being asked again",
        alone="put down to no cause yet",
        incidents="Open incidents",
        no_incident="No incident is open here.",
        checks="Checks: {up} up, {down} down, {unknown} unknown",
        pc="PC {agent}: {contact}, last heard {age} ago",
        never="PC {agent}: never heard",
        heard="reports",
        since="since",
    ),
}


class Seen(NamedTuple):
    """A fleet at a moment, and what was found wrong in it."""

    fleet: Fleet
    findings: Sequence[Finding]
    waiting: frozenset[str]
    """Sites where something fails of which it was too early to say why."""
    at: float


def see(fleet: Fleet, diagnosis: Diagnosis, now: float) -> Seen:
    """Return what is found now."""
    findings = list(diagnosis.findings(fleet, now))
    waiting = frozenset(view.site for view in diagnosis.views.values() if view.waiting)
    return Seen(fleet, findings, waiting, now)


def explain(site: str, seen: Seen, incidents: Sequence[Incident], lang: str) -> str:
    """Return the text for a site of the inventory."""
    return "\n".join(_Page(site, seen, lang).lines(incidents)) + "\n"


class _Page:
    def __init__(self, site: str, seen: Seen, lang: str) -> None:
        self._site = site
        self._seen = seen
        self._lang = lang
        self._words = WORDS[lang]
        self._texts: Texts = TEXTS[lang]
        self._inventory: Inventory = seen.fleet.inventory

    def lines(self, incidents: Sequence[Incident]) -> Iterator[str]:
        inventory, said = self._inventory, self._words
        name = full_name(inventory.sites[self._site], self._texts)
        head = self._texts.province.format(name=getattr(inventory.name, self._lang))
        at = words.local_time(self._seen.at, inventory)
        yield f"{head} · {name} ({self._site}) · {at}".replace("\u00a0", " ")
        for agent in inventory.sites[self._site].agents:
            yield from self._pc(agent, self._seen.fleet.agents[agent])
        here = {
            series: state
            for series, state in self._seen.fleet.series.items()
            if state.site == self._site
        }
        states = [state.state for state in here.values()]
        counts = {word: states.count(word) for word in ("up", "down", "unknown")}
        yield said.checks.format(**counts)
        for series, state in here.items():
            if state.state == "down":
                yield from self._failing(series, state)
        about = [one for one in self._seen.findings if self._touches(one)]
        if not about and not counts["down"]:
            yield said.nothing
        for finding in about:
            yield ""
            yield from self._finding(finding)
        yield ""
        yield from self._incidents(incidents)

    def _pc(self, agent: str, state: AgentState) -> Iterator[str]:
        said = self._words
        if state.heard_at is None:
            yield said.never.format(agent=agent)
            return
        contact = said.heard if state.contact == "live" else self._texts.states[state.contact]
        ago = age(self._seen.at - state.heard_at, self._texts).replace("\u00a0", " ")
        yield said.pc.format(agent=agent, contact=contact, age=ago)
        yield from _facts(_last_words(state))

    def _failing(self, series: Series, state: SeriesState) -> Iterator[str]:
        check = self._inventory.checks[series.check]
        line = f" ({series.line})" if series.line else ""
        first = state.first_failure
        why = ": ".join(filter(None, (first.failure, first.detail))) if first else ""
        since = f"{self._words.since} {words.local_time(state.since, self._inventory)}"
        yield f"  {getattr(check.name, self._lang)}: {series.target}{line}, {since}: {why}"
        yield f"    -> {self._put_down_to(series)}"

    def _put_down_to(self, series: Series) -> str:
        said = self._words
        for finding in self._seen.findings:
            if series in finding.units:
                return f"{said.part} {_name(finding)}"
        for finding in self._seen.findings:
            if series in finding.covers:
                return f"{said.because} {_name(finding)}"
        return said.early if self._site in self._seen.waiting else said.alone

    def _touches(self, finding: Finding) -> bool:
        return self._site in finding.sites or any(
            isinstance(unit, Series) and self._inventory.subjects.get(unit) == self._site
            for unit in finding.covers
        )

    def _finding(self, finding: Finding) -> Iterator[str]:
        known = self._inventory.sites
        sites = counted((known[site] for site in finding.sites if site in known), self._texts)
        yield f"{_name(finding)}: {sites}".replace("\u00a0", " ")
        yield from _facts({self._words.rule: finding.rule, **finding.facts})
        signs = [unit for unit in finding.units if isinstance(unit, Sign)]
        yield from _facts({sign.kind: sign.subject for sign in signs[:1]})

    def _incidents(self, incidents: Sequence[Incident]) -> Iterator[str]:
        here = [one for one in incidents if self._site in one.sites]
        if not here:
            yield self._words.no_incident
            return
        yield f"{self._words.incidents}:"
        for one in here:
            title = getattr(words.title(one, self._inventory), self._lang)
            opened = words.local_time(one.opened_at, self._inventory)
            yield f"  {one.id} {opened} {title} ({one.cause})"


def _name(finding: Finding) -> str:
    return f"{finding.cause} {finding.key}".strip()


def _last_words(state: AgentState) -> Mapping[str, str]:
    facts = {}
    if state.via or state.address:
        facts["via"] = state.via or f"{state.address} {state.carrier}".strip()
    if state.power is not None and state.power.on_mains is not None:
        facts["power"] = "mains" if state.power.on_mains else "battery"
    if state.clock_offset is not None:
        facts["clock"] = f"{state.clock_offset:+.1f} s"
    failing = {name: line.failing for name, line in state.lines.items()}
    for name, why in failing.items():
        facts[f"line {name}"] = why or "ok"
    return facts


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    for name, text in facts.items():
        yield f"  {name:{NAME_WIDTH}}{text}".rstrip()
