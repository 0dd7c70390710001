"""The list of incidents as values, and what it shares with the page of one. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.diagnosis import words
from collector.diagnosis.incident import Incident
from collector.duty.acts import Act, Standing, standing_of
from collector.inventory.model import Inventory
from collector.state.states import BELOW_SERVICE
from collector.wall import forms
from collector.wall.addresses import incident_url, incidents_url
from collector.wall.locale import TEXTS
from collector.wall.locale.duty import DUTY_TEXTS, DutyTexts
from collector.wall.locale.texts import Texts
from collector.wall.names import full_name

SILENT = frozenset({"site_silent", "mass_silence", "carrier_outage", "power_outage"})
DOWN = frozenset({"lan_down", "line_down", "tslcd_outage", "system_down", "collector_blind"})
MOST_NAMED = 3
Known = tuple[Incident, Sequence[Act]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who a page is for, and of when."""

    inventory: Inventory
    now: float
    lang: str
    theme: str = ""

    @property
    def texts(self) -> Texts:
        """The wall's words."""
        return TEXTS[self.lang]

    @property
    def duty(self) -> DutyTexts:
        """The words of these pages."""
        return DUTY_TEXTS[self.lang]

    def at(self, moment: float) -> str:
        """Write when something was."""
        return forms.moment(moment, self.now, self.inventory.time_zone)

    def second(self, moment: float) -> str:
        """Write the same to the second, where it is of today."""
        at = self.at(moment)
        return forms.clock(moment, self.inventory.time_zone) if len(at) == len("09:31") else at


@dataclass(frozen=True, slots=True)
class Row:
    """One incident of the list."""

    url: str
    state: str
    id: str
    age: tuple[tuple[int, str], ...]
    at: str
    what: str
    where: str
    owner: str
    holder: str
    acknowledged: str
    note: str
    """Maintenance, or the tier it was raised to."""
    open: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A state that can be chosen."""

    url: str
    text: str
    n: int | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class IncidentsPage:
    """The list."""

    lang: str
    title: str
    province: str
    filters: tuple[Filter, ...]
    rows: tuple[Row, ...]
    seen_at: str
    problem: str


def list_page(
    opened: Iterable[Known], closed: Iterable[Known], reader: Reader, state: str, problem: str = ""
) -> IncidentsPage:
    """Return the list of one state, the gravest wait first: not acknowledged, then the oldest."""
    opened = list(opened)
    groups: dict[str, list[Known]] = {
        "open": opened,
        "unacknowledged": [one for one in opened if waits(one[1])],
        "acknowledged": [one for one in opened if standing_of(one[1]).acknowledged],
        "maintenance": [one for one in opened if standing_of(one[1]).maintenance],
        "closed": list(closed),
    }
    state = state if state in groups else "open"
    chosen = groups[state]
    if state != "closed":
        chosen = sorted(chosen, key=lambda one: (not waits(one[1]), one[0].since))
    duty = reader.duty
    return IncidentsPage(
        lang=reader.lang,
        title=duty.incidents,
        province=reader.texts.province.format(name=getattr(reader.inventory.name, reader.lang)),
        filters=tuple(
            Filter(
                url=incidents_url(state=key, lang=reader.lang, theme=reader.theme),
                text=text,
                n=None if key == "closed" else len(groups[key]),
                chosen=key == state,
            )
            for key, text in duty.filters.items()
        ),
        rows=tuple(_row(incident, acts, reader) for incident, acts in chosen),
        seen_at=duty.seen_at.format(at=forms.clock(reader.now, reader.inventory.time_zone)),
        problem=problem,
    )


def waits(acts: Sequence[Act]) -> bool:
    """Whether it waits for somebody to acknowledge it."""
    standing = standing_of(acts)
    return standing.acknowledged is None and standing.maintenance is None


def state_of(incident: Incident, standing: Standing, inventory: Inventory) -> str:
    """Return the state an incident is shown in: its colour and its shape."""
    if incident.closed_at is not None:
        return "closed"
    if standing.maintenance:
        return "maintenance"
    if incident.cause in SILENT:
        return "silent"
    check = inventory.checks.get(incident.check)
    below = incident.cause == "check_down" and check is not None and check.layer in BELOW_SERVICE
    return "down" if below or incident.cause in DOWN else "degraded"


def _row(incident: Incident, acts: Sequence[Act], reader: Reader) -> Row:
    standing, duty = standing_of(acts), reader.duty
    until = reader.now if incident.closed_at is None else incident.closed_at
    note = duty.maintenance if standing.maintenance else ""
    if standing.escalated and not note:
        note = tier(standing.escalated, reader)
    return Row(
        url=incident_url("", incident.id, lang=reader.lang, theme=reader.theme),
        state=state_of(incident, standing, reader.inventory),
        id=incident.id,
        age=forms.age_parts(until - incident.since, reader.texts),
        at=reader.at(incident.since),
        what=getattr(words.title(incident, reader.inventory), reader.lang),
        where=where(incident, reader),
        owner=incident.owner,
        holder=standing.holder,
        acknowledged=taken(standing, reader),
        note=note,
        open=incident.closed_at is None,
    )


def where(incident: Incident, reader: Reader) -> str:
    """Return the places, the first few by name."""
    names = [
        full_name(known, reader.texts) if (known := reader.inventory.sites.get(site)) else site
        for site in incident.sites
    ]
    left = len(names) - MOST_NAMED
    if left <= 1:
        return str(getattr(words.where(incident, reader.inventory), reader.lang))
    text = forms.plural(reader.texts.more_names, left)
    return text.format(names=", ".join(names[:MOST_NAMED]), n=left)


def taken(standing: Standing, reader: Reader) -> str:
    """Say who acknowledged and when; "" where nobody did."""
    act = standing.acknowledged
    return reader.duty.taken.format(who=act.who, at=reader.at(act.at)) if act else ""


def tier(act: Act, reader: Reader) -> str:
    """Say how far it was raised."""
    route = reader.inventory.on_call.get(act.to)
    name = getattr(route.name, reader.lang) if route else act.to
    return reader.duty.tier.format(tier=act.tier, route=name, at=reader.at(act.at))
