"""What a card of the wall says of who is on its incidents. Pure."""

from collections.abc import Callable, Mapping, Sequence

from collector.duty.acts import Standing
from collector.wall.addresses import incident_url, incidents_url
from collector.wall.locale.duty import DUTY_TEXTS


def waits(incident: str, standings: Mapping[str, Standing]) -> bool:
    """Whether an incident waits for somebody to acknowledge it."""
    standing = standings.get(incident, Standing())
    return standing.acknowledged is None and standing.maintenance is None


def taken(
    incidents: Sequence[str],
    standings: Mapping[str, Standing],
    at: Callable[[float], str],
    lang: str,
) -> str:
    """Say who acknowledged all of these, or that they are maintenance; "" where one waits.

    `at` writes a moment.
    """
    if any(waits(incident, standings) for incident in incidents):
        return ""
    acts = [act for one in incidents if (act := standings[one].acknowledged) is not None]
    words = DUTY_TEXTS[lang]
    if not acts:
        return words.maintenance
    who = ", ".join(dict.fromkeys(act.who for act in acts))
    return words.card_taken.format(who=who, at=at(max(act.at for act in acts)))


def address(incidents: Sequence[str], lang: str) -> str:
    """Return where a card leads: to the page of its only incident, else to the list."""
    if len(incidents) == 1:
        return incident_url("", incidents[0], lang=lang)
    return incidents_url(lang=lang)
