"""What happened to an incident and what was done about it, as one list, the newest first. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from collector.diagnosis import words
from collector.diagnosis.incident import Incident, Step
from collector.duty.acts import Act
from collector.inventory.model import Inventory
from collector.wall.forms import joined, plural
from collector.wall.locale.duty import DutyTexts
from collector.wall.locale.texts import Texts


@dataclass(frozen=True, slots=True)
class Event:
    """One line."""

    at: float
    text: str
    note: str
    """A person's own words; "" where there are none."""
    mark: bool
    """Whether people look for it: opening, close, and what persons did."""


def timeline(
    incident: Incident, acts: Sequence[Act], inventory: Inventory, texts: Texts, duty: DutyTexts
) -> tuple[Event, ...]:
    """Return all that is known of an incident's way."""
    events = [Event(incident.since, duty.steps["began"], "", mark=False)]
    events += _steps(incident, inventory, texts, duty)
    events += [_act(act, inventory, texts, duty) for act in acts]
    return tuple(sorted(events, key=lambda event: event.at, reverse=True))


def _steps(
    incident: Incident, inventory: Inventory, texts: Texts, duty: DutyTexts
) -> Iterable[Event]:
    life = incident.life or (_opening(incident),)
    for step in life:
        as_then = replace(incident, cause=step.cause)
        n = step.sites
        places = joined(f"{n} {plural(texts.nouns['places'], n)}")
        text = duty.steps[step.kind].format(
            title=getattr(words.title(as_then, inventory), texts.lang), places=places
        )
        yield Event(step.at, text, "", mark=step.kind in {"opened", "closed"})
    if incident.closed_at is not None and life[-1].kind != "closed":
        yield Event(incident.closed_at, duty.steps["closed"], "", mark=True)


def _opening(incident: Incident) -> Step:
    """Return the step of an incident that was opened before steps were kept."""
    return Step(
        at=incident.opened_at, kind="opened", cause=incident.cause, sites=len(incident.sites)
    )


def _act(act: Act, inventory: Inventory, texts: Texts, duty: DutyTexts) -> Event:
    to = act.to
    if act.kind == "escalated" and to in inventory.on_call:
        to = getattr(inventory.on_call[to].name, texts.lang)
    text = duty.acts[act.kind].format(who=act.who, to=to, tier=act.tier, text=act.text)
    return Event(act.at, text, act.text if act.who else "", mark=bool(act.who))
