"""What an incident is called, for pages and for the wall. Made of inventory words only.

Nothing is invented: what an incident does not name is left out, and who has to act is told only
where its cause tells it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from collector.diagnosis.incident import Incident
from collector.diagnosis.phrases import (
    ALONE,
    AREA,
    COUNTED,
    COUNTED_OF,
    FLAPPING,
    LINE,
    MORE_PLACES,
    MORE_TARGETS,
    OF_PLACE,
    OF_THING,
    OWNER,
    PHRASES,
    PLACE,
    PROOF,
    SOME_CARRIER,
    SOME_LINE,
    SOME_SYSTEM,
    TARGETS,
)
from collector.diagnosis.proof import proof
from collector.diagnosis.routing import NOT_KNOWN_WHOSE, OF_A_CARRIER
from collector.inventory.model import COMMUNE_KINDS, SITE_KINDS, Inventory, Series, Site, Text

Language = Literal["vi", "en"]
MOST_NAMED = 3


def title(incident: Incident, inventory: Inventory) -> Text:
    """Return what is wrong, in a few words."""
    return _both(_Words.title, incident, inventory)


def where(incident: Incident, inventory: Inventory) -> Text:
    """Return the places, how many of how many, and what still fails where that helps.

    "" where no place is meant.
    """
    return _both(_Words.where, incident, inventory)


def sentence(incident: Incident, inventory: Inventory) -> Text:
    """Return what, where, since when, what is known of it and whose it is."""
    return _both(_Words.sentence, incident, inventory)


def owner(incident: Incident, inventory: Inventory) -> str:
    """Return who has to act; "" where the cause does not tell yet."""
    if incident.cause in NOT_KNOWN_WHOSE:
        return ""
    if incident.owner:
        return incident.owner
    if incident.cause in OF_A_CARRIER and incident.carrier in inventory.carriers:
        return inventory.carriers[incident.carrier].name
    return ""


def site_name(site: Site, language: Language = "vi") -> str:
    """Return a site's name as people write it: a commune's kind belongs to it, once."""
    kind = site.kind.capitalize()
    if site.kind not in COMMUNE_KINDS:
        return site.name
    bare = site.name.removeprefix(f"{kind} ")
    if language == "vi":
        return f"{kind} {bare}"
    return PLACE.en.format(name=bare, kind=SITE_KINDS[site.kind].en)


def local_time(moment: float, inventory: Inventory) -> str:
    """Return a moment as people of the province read it: 09:31:07 01/07/2025."""
    return (
        f"{datetime.fromtimestamp(moment, UTC).astimezone(inventory.time_zone):%H:%M:%S %d/%m/%Y}"
    )


class _Words(NamedTuple):
    """One incident in one language."""

    incident: Incident
    inventory: Inventory
    language: Language

    def say(self, pattern: Text, **words: object) -> str:
        text: str = getattr(pattern, self.language)
        return text.format(**words) if words else text

    def title(self) -> str:
        said = self.said()
        return said[:1].upper() + said[1:]

    def said(self) -> str:
        """Return the title as it stands inside a sentence: names and abbreviations keep their capitals."""
        incident, inventory = self.incident, self.inventory
        carrier = inventory.carriers.get(incident.carrier)
        system = inventory.systems.get(incident.system)
        check = inventory.checks.get(incident.check)
        pattern = self.say(PHRASES[incident.cause].title)
        if pattern[1:2].islower():
            pattern = pattern[0].lower() + pattern[1:]
        said = pattern.format(
            carrier=carrier.name if carrier else incident.carrier or self.say(SOME_CARRIER),
            line=self.line(),
            system=self.say(system.name if system else SOME_SYSTEM),
            check=self.say(check.name) if check else incident.check,
            area=self.say(AREA, area=incident.area) if incident.area else "",
        )
        return self.say(FLAPPING, title=said) if incident.flapping else said

    def line(self) -> str:
        """Return a line by its carrier, and by its own name where that says more."""
        carrier = self.inventory.carriers.get(self.incident.carrier)
        own = self.incident.line
        if carrier is None:
            return self.say(LINE, name=own) if own else self.say(SOME_LINE)
        same = own.casefold() in {"", carrier.name.casefold(), self.incident.carrier.casefold()}
        return self.say(LINE, name=carrier.name if same else f"{carrier.name} ({own})")

    def places(self) -> str:
        """Return names, and how many there are where not all are named or it is known of how many."""
        names = [self.place(site) for site in self.incident.sites]
        if self.incident.cause == "collector_blind":
            return ""  # what it cannot see it does not list
        if len(names) <= 1:
            return "".join(names)
        of = _of(self.incident, self.inventory)
        named = ", ".join(names[:MOST_NAMED])
        left = len(names) - MOST_NAMED
        if left > 0:
            named = self.say(MORE_PLACES, named=named, n=left)
        if of >= len(names):
            return self.say(COUNTED_OF, n=len(names), of=of) + f": {named}"
        return self.say(COUNTED, n=len(names)) + f": {named}" if left > 0 else named

    def place(self, site: str) -> str:
        known = self.inventory.sites.get(site)
        return site_name(known, self.language) if known else site

    def targets(self) -> str:
        """Return what still fails, of a single place whose targets tell something."""
        if not PHRASES[self.incident.cause].targets or len(self.incident.sites) != 1:
            return ""
        failing = [
            _target(member.series) for member in self.incident.members if member.up_at is None
        ]
        named, left = ", ".join(failing[:MOST_NAMED]), len(failing) - MOST_NAMED
        return self.say(MORE_TARGETS, named=named, n=left) if left > 0 else named

    def where(self) -> str:
        return ": ".join(part for part in (self.places(), self.targets()) if part)

    def sentence(self) -> str:
        phrase = PHRASES[self.incident.cause]
        since = local_time(self.incident.since, self.inventory)
        title, places, targets = self.title(), self.places(), self.targets()
        if not places:
            first = self.say(ALONE, title=title, since=since)
        elif phrase.of_place and len(self.incident.sites) == 1:
            first = self.say(OF_PLACE, title=self.said(), since=since, where=places)
        else:
            first = self.say(OF_THING, title=title, since=since, where=places)
        known = proof(self.incident.facts, self.language)
        whose = owner(self.incident, self.inventory)
        parts = (
            first,
            self.say(TARGETS, targets=targets) if targets else "",
            self.say(PROOF, proof=known) if known else "",
            self.say(phrase.hint),
            self.say(OWNER, owner=whose) if whose else "",
        )
        return " ".join(part for part in parts if part)


def _both(say: Callable[[_Words], str], incident: Incident, inventory: Inventory) -> Text:
    return Text(
        vi=say(_Words(incident, inventory, "vi")), en=say(_Words(incident, inventory, "en"))
    )


def _of(incident: Incident, inventory: Inventory) -> int:
    """Return how many places it could be about; 0 where that is not known."""
    sites = [
        site
        for site in inventory.sites.values()
        if not incident.area or site.former_province == incident.area
    ]
    if incident.cause == "carrier_outage":
        return sum(
            any(line.carrier == incident.carrier for line in inventory.lines.get(site.id, ()))
            for site in sites
        )
    return len(sites) if incident.area else 0


def _target(series: Series) -> str:
    return f"{series.target} ({series.line})" if series.line else series.target
