"""SMS: an incident in one short message of GSM-7 letters, so without diacritics. Pure.

Whoever sends it puts before it whether it opened or is over. What does not fit is left out: names
of places first, then who has to act; never the id, the time, how many, or the address.
"""

import unicodedata
from datetime import datetime

from collector.diagnosis import words
from collector.diagnosis.incident import Incident
from collector.diagnosis.words import Language, site_name
from collector.inventory.model import Inventory, Text

MOST_CHARACTERS = 150
"""One message has 160; the rest is for the sender's own word."""
MOST_NAMED = 3
MOST_TITLE = 60
SINCE = Text(vi=" tu {at}", en=" since {at}")
PLACES = Text(vi="{n} noi", en="{n} places")
OWNER = Text(vi=". Chu tri {owner}", en=". Lead {owner}")


def sms(incident: Incident, inventory: Inventory, url: str, language: Language) -> str:
    """Return the message."""
    begun = datetime.fromtimestamp(incident.since, inventory.time_zone)
    title = getattr(words.title(incident, inventory), language)[:MOST_TITLE]
    head = f"TS {incident.id} {title}" + getattr(SINCE, language).format(at=f"{begun:%H:%M}")
    whose = words.owner(incident, inventory)
    lead = getattr(OWNER, language).format(owner=whose) if whose else ""
    tail = f". {url}" if url else "."
    text = ""
    for owner in dict.fromkeys((lead, "")):
        for named in range(MOST_NAMED, -1, -1):
            text = plain(head + _places(incident, inventory, named, language) + owner + tail)
            if len(text) <= MOST_CHARACTERS:
                return text
    return text


def plain(text: str) -> str:
    """Return a text in ASCII: letters without their marks, other signs left out."""
    apart = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return apart.encode("ascii", "ignore").decode()


def _places(incident: Incident, inventory: Inventory, named: int, language: Language) -> str:
    if incident.cause == "collector_blind" or not incident.sites:
        return ""
    sites = [inventory.sites.get(site) for site in incident.sites]
    names = [
        site_name(site, language) if site else known
        for site, known in zip(sites[:named], incident.sites, strict=False)
    ]
    left = len(sites) - len(names)
    if len(sites) == 1:
        return f": {names[0] if names else incident.sites[0]}"
    count = getattr(PLACES, language).format(n=len(sites))
    if not names:
        return f": {count}"
    return f": {count}: " + ", ".join(names) + (f", +{left}" if left else "")
