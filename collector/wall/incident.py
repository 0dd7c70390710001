"""The page of one incident, as values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector.diagnosis import words
from collector.diagnosis.incident import Incident, Member
from collector.duty.acts import Act, standing_of
from collector.state.states import SiteState
from collector.wall import forms, said
from collector.wall.addresses import incidents_url
from collector.wall.evidence import address_of
from collector.wall.incidents import Reader, state_of, taken, tier, where
from collector.wall.locale.duty import DutyTexts
from collector.wall.names import full_name
from collector.wall.timeline import Event, timeline


@dataclass(frozen=True, slots=True)
class Form:
    """What the forms of a page hold: the visitor's name, and what was typed but not done."""

    token: str
    name: str = ""
    text: str = ""
    to: str = ""
    refusal: str = ""
    """A key of `refusals`; "" where nothing was refused."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something told of an incident."""

    name: str
    text: str
    call: bool = False
    """Whether it waits for somebody."""


@dataclass(frozen=True, slots=True)
class Place:
    """A site of an incident."""

    name: str
    id: str
    state: str
    word: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One series that failed."""

    place: str
    what: str
    line: str
    since: str
    why: str
    up: str
    evidence: str


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """One incident."""

    lang: str
    id: str
    title: str
    where: str
    state: str
    word: str
    open: bool
    back: str
    list: str
    facts: tuple[Fact, ...]
    gone: tuple[Place, ...]
    returned: tuple[Place, ...]
    failed: tuple[Failed, ...]
    details: tuple[Fact, ...]
    events: tuple[tuple[str, Event], ...]
    """With their times in words."""
    acknowledged_by: str
    holder: str
    seen_at: str
    problem: str


def incident_page(
    incident: Incident,
    acts: Sequence[Act],
    reader: Reader,
    *,
    sites: Mapping[str, SiteState],
    evidence: Mapping[tuple[str, str], float],
    problem: str = "",
) -> IncidentPage:
    """Return the page of one. `sites`: how places are now; `evidence`: of what there is any."""
    duty, standing = reader.duty, standing_of(acts)
    is_open = incident.closed_at is None
    state = state_of(incident, standing, reader.inventory)
    places = [_place(site, incident, reader, sites) for site in incident.sites]
    return IncidentPage(
        lang=reader.lang,
        id=incident.id,
        title=getattr(words.title(incident, reader.inventory), reader.lang),
        where=where(incident, reader),
        state=state,
        word=duty.maintenance if state == "maintenance" else duty.open if is_open else duty.closed,
        open=is_open,
        back=f"/?lang={reader.lang}" + (f"&theme={reader.theme}" if reader.theme else ""),
        list=incidents_url(lang=reader.lang, theme=reader.theme),
        facts=tuple(_facts(incident, acts, reader)),
        gone=tuple(place for place in places if place.state not in {"ok", "closed"}),
        returned=tuple(place for place in places if place.state in {"ok", "closed"}),
        failed=tuple(_failed(member, incident, reader, evidence) for member in incident.members),
        details=tuple(_detail(name, text, duty) for name, text in incident.facts.items()),
        events=tuple(
            (reader.second(event.at), event)
            for event in timeline(incident, acts, reader.inventory, reader.texts, duty)
        ),
        acknowledged_by=standing.acknowledged.who if standing.acknowledged else "",
        holder=standing.holder,
        seen_at=duty.seen_at.format(at=forms.clock(reader.now, reader.inventory.time_zone)),
        problem=problem if is_open and standing.acknowledged else "",
    )


def _facts(incident: Incident, acts: Sequence[Act], reader: Reader) -> Iterable[Fact]:
    duty, standing, named = reader.duty, standing_of(acts), reader.duty.facts
    ended = incident.closed_at
    yield Fact(named["since"], words.local_time(incident.since, reader.inventory))
    if ended is not None:
        yield Fact(named["ended"], words.local_time(ended, reader.inventory))
    lasted = (reader.now if ended is None else ended) - incident.since
    yield Fact(named["lasted"], forms.span(lasted, reader.texts))
    if incident.owner:
        yield Fact(named["owner"], incident.owner)
    by = taken(standing, reader)
    call = not by and ended is None and standing.maintenance is None
    yield Fact(named["acknowledged"], by or duty.nobody, call=call)
    if standing.holder and (
        standing.acknowledged is None or standing.holder != standing.acknowledged.who
    ):
        yield Fact(named["holder"], standing.holder)
    if standing.escalated:
        yield Fact(named["tier"], tier(standing.escalated, reader))
    severity = "ticket" if standing.maintenance else incident.severity
    yield Fact(named["severity"], duty.severities[severity])
    if standing.maintenance:
        yield Fact(named["window"], standing.maintenance.text)
    if incident.line:
        yield Fact(named["line"], incident.line)
    if incident.carrier:
        carrier = reader.inventory.carriers.get(incident.carrier)
        yield Fact(named["carrier"], carrier.name if carrier else incident.carrier)


def _place(site: str, incident: Incident, reader: Reader, sites: Mapping[str, SiteState]) -> Place:
    known, now = reader.inventory.sites.get(site), sites.get(site)
    name = full_name(known, reader.texts).replace(forms.NBSP, " ") if known else site
    if now is None or incident.closed_at is not None:
        return Place(name, site, "closed", "")
    if now.state == "ok":
        word = reader.duty.back_at.format(at=reader.at(now.since))
    else:
        word = (
            f"{reader.texts.states[now.state]} {reader.duty.since.format(at=reader.at(now.since))}"
        )
    return Place(name, site, now.state, word)


def _failed(
    member: Member,
    incident: Incident,
    reader: Reader,
    evidence: Mapping[tuple[str, str], float],
) -> Failed:
    series, inventory = member.series, reader.inventory
    site = inventory.sites.get(inventory.site_of_agent.get(series.agent, ""))
    check = inventory.checks.get(series.check)
    why, remark = said.failed(member.failure, member.detail, reader.texts)
    name = getattr(check.name, reader.lang) if check else series.check
    seen = evidence.get((series.agent, series.check), float("-inf")) >= incident.since - 60.0
    return Failed(
        place=f"{full_name(site, reader.texts)} · {series.agent}" if site else series.agent,
        what=f"{name}: {series.target}",
        line=series.line,
        since=reader.second(member.since),
        why=f"{why}: {said.quoted(remark)}" if remark else why,
        up=reader.duty.still if member.up_at is None else reader.second(member.up_at),
        evidence=address_of(series.agent, series.check, reader.lang) if seen else "",
    )


def _detail(name: str, text: str, duty: DutyTexts) -> Fact:
    *of, last = name.split(" ")
    shown = " ".join((*of, duty.fact_words.get(last, last)))
    return Fact(shown, duty.fact_words.get(text, text))
