"""Causes: the open incidents told as a person would, each cause once, the gravest first. Pure."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collector.diagnosis import words
from collector.diagnosis.incident import Cause, Incident
from collector.diagnosis.phrases import PHRASES
from collector.inventory.model import Inventory, Series
from collector.state.states import BELOW_SERVICE, SiteState
from collector.wall.forms import joined, moment, plural
from collector.wall.locale.texts import Texts
from collector.wall.names import abbreviated, counted, short_name
from collector.wall.page import Piece

LONGEST = 90
"""Characters of a sentence that are read at a glance."""
CUT_OFF_WEIGHT = 5
"""A place that is cut off weighs as much as five that miss one system."""
CAUSES_IN_PROOF = 3
LONGEST_PROOF = 150
"""Characters of the second line: if it broke, every tile below would move."""
NAMES_IN_SCOPE = 2
SILENT = frozenset({"site_silent", "mass_silence", "power_outage", "collector_blind"})
"""Causes whose places are not heard."""
CUTTING = frozenset({"carrier_outage", "line_down", "lan_down", "tslcd_outage"})
"""Causes that take from a place what it needs for everything else, if nothing else carries it."""
NOT_KNOWN_WHY = frozenset({"site_silent", "mass_silence"})
OF_A_SYSTEM = frozenset(
    {
        "system_down",
        "system_slow",
        "system_unreachable_from_site",
        "vc_degraded",
        "certificate",
        "external",
    }
)
TOGETHER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Open incidents of one cause and one subject: the same check, system, line, carrier."""

    cause: Cause
    check: str
    system: str
    carrier: str
    line: str
    area: str
    flapping: bool
    state: str
    sites: tuple[str, ...]
    since: float
    last: float
    """When the last of them began."""
    opened_at: float
    """When the last of them was opened."""
    owner: str
    failures: tuple[str, ...]
    series: tuple[Series, ...]
    """What failed, in the order of the incidents."""
    incidents: tuple[str, ...]
    """Their ids."""

    @property
    def weight(self) -> int:
        """How grave it is against others: while the centre is cut off, nothing else is known."""
        if self.cause == "collector_blind":
            return sys.maxsize
        return len(self.sites) * (1 if self.state == "degraded" else CUT_OFF_WEIGHT)

    @property
    def together(self) -> bool:
        """Whether one time is true of all of them."""
        return self.last - self.since < TOGETHER_SECONDS


def troubles(
    incidents: Iterable[Incident], inventory: Inventory, sites: Mapping[str, SiteState]
) -> list[Trouble]:
    """Return what is wrong, the gravest first, of equally grave ones the oldest."""
    alike: dict[tuple[str, str, bool, str], list[Incident]] = {}
    for incident in incidents:
        state = _state(incident, inventory, sites)
        key = (incident.cause, _subject(incident), incident.flapping, state)
        alike.setdefault(key, []).append(incident)
    found = [_trouble(key[-1], several, inventory) for key, several in alike.items()]
    return sorted(found, key=lambda trouble: (-trouble.weight, trouble.since))


def _state(incident: Incident, inventory: Inventory, sites: Mapping[str, SiteState]) -> str:
    """Return what an incident does to its places: one of several lines down cuts nobody off."""
    if incident.cause in SILENT:
        return "silent"
    if incident.cause != "check_down" and incident.cause not in CUTTING:
        return "degraded"
    states = {sites[site].state for site in incident.sites if site in sites}
    if incident.cause in CUTTING:
        return next((state for state in ("silent", "down") if state in states), "degraded")
    check = inventory.checks.get(incident.check)
    if check is None or check.layer not in BELOW_SERVICE:
        return "degraded"
    return "down" if "down" in states else "degraded"


def _subject(incident: Incident) -> str:
    """Return what else has to be the same for two incidents to be told as one."""
    if incident.cause == "check_down":
        return incident.check
    if incident.cause in OF_A_SYSTEM:
        return incident.system
    if incident.cause in {"line_down", "line_degraded"}:
        return incident.carrier or incident.line
    if incident.cause in {"mass_silence", "carrier_outage", "power_outage"}:
        return incident.id
    return ""


def _trouble(state: str, several: Sequence[Incident], inventory: Inventory) -> Trouble:
    first = several[0]
    members = [member for incident in several for member in incident.members]
    return Trouble(
        cause=first.cause,
        check=first.check,
        system=first.system,
        carrier=first.carrier,
        line=first.line,
        area=first.area,
        flapping=first.flapping,
        state=state,
        sites=tuple(dict.fromkeys(site for incident in several for site in incident.sites)),
        since=min(incident.since for incident in several),
        last=max(incident.since for incident in several),
        opened_at=max(incident.opened_at for incident in several),
        owner=words.owner(first, inventory),
        failures=tuple(dict.fromkeys(member.failure for member in members if member.up_at is None)),
        series=tuple(member.series for member in members),
        incidents=tuple(incident.id for incident in several),
    )


def sentence(
    found: Sequence[Trouble],
    tally: Mapping[str, int],
    inventory: Inventory,
    now: float,
    texts: Texts,
) -> tuple[tuple[Piece, ...], str]:
    """Return the sentence about the whole province, and the line below that proves it.

    `tally`: communes by state. Who never reported is neither fine nor broken.
    """
    if found and found[0].cause == "collector_blind":
        return _gravest(found[0], inventory, now, texts), ""
    total, ok = sum(tally.values()), tally["ok"]
    stable = texts.stable.format(ok=ok, n=total)
    if found:
        counts = _counts(tally, ("never", "closed"), texts)
        others = [_plain(trouble, inventory, texts) for trouble in found[1:]]
        return _gravest(found[0], inventory, now, texts), _proof(stable, others, counts, texts)
    if ok == total:
        return (Piece(texts.all_well.format(n=total)),), texts.no_incidents + "."
    if tally["never"] == total:
        return (Piece(texts.nobody_reports),), ""
    if ok + tally["closed"] == total:
        text = texts.after_hours.format(ok=ok, closed=tally["closed"])
        return (Piece(text),), texts.no_incidents + "."
    others = _counts(tally, ("silent", "down", "degraded", "never", "closed"), texts)
    return (Piece(stable),), "".join(_line(others))


def title(trouble: Trouble, inventory: Inventory, texts: Texts) -> str:
    """Return what broke, for a card."""
    if trouble.cause == "check_down" and not _word(trouble, inventory, texts):
        return _check(trouble, inventory, texts) + (texts.flapping if trouble.flapping else "")
    return _plain(trouble, inventory, texts)


def scope(trouble: Trouble, inventory: Inventory, texts: Texts) -> str:
    """Return where or why, for a card: what its title does not say."""
    sites = [inventory.sites[site] for site in trouble.sites if site in inventory.sites]
    why = "; ".join(
        texts.failures.get(failure, texts.failures["unknown"]) for failure in trouble.failures
    )
    if trouble.cause == "check_down" and not _word(trouble, inventory, texts):
        return texts.check_reason.format(of=counted(sites, texts), why=why)
    if len(sites) > 1 and trouble.cause != "collector_blind":
        names = ", ".join(short_name(site, texts) for site in sites[:NAMES_IN_SCOPE])
        left = len(sites) - NAMES_IN_SCOPE
        return plural(texts.more_names, left).format(names=names, n=left) if left > 0 else names
    if trouble.cause == "site_silent":
        return texts.silent_scope
    hint: str = getattr(PHRASES[trouble.cause].hint, texts.lang)
    if hint or not trouble.check:
        return hint.removesuffix(".") or why
    return texts.reason.format(of=_check(trouble, inventory, texts), why=why)


def _gravest(trouble: Trouble, inventory: Inventory, now: float, texts: Texts) -> tuple[Piece, ...]:
    pieces = [
        Piece(text, trouble.state if marked else "")
        for marked, text in _pieces(trouble, inventory, texts)
    ]
    since = texts.since if trouble.together else texts.first_since
    ending = since.format(at=moment(trouble.since, now, inventory.time_zone))
    if trouble.cause == "collector_blind":
        more = texts.blind
    elif trouble.cause in NOT_KNOWN_WHY:
        more = texts.cause_unknown
    else:
        more = texts.led_by.format(owner=abbreviated(trouble.owner)) if trouble.owner else ""
    if sum(len(piece.text) for piece in pieces) + len(ending) + len(more) < LONGEST:
        ending += more
    return (*pieces, Piece(ending + "."))


def _proof(stable: str, others: Sequence[str], counts: Sequence[str], texts: Texts) -> str:
    """Tell as many other causes as one line holds, three at most, and how many more there are."""
    line = stable
    for told in range(min(len(others), CAUSES_IN_PROOF), -1, -1):
        left = len(others) - told
        more = [plural(texts.more_causes, left).format(n=left)] if left else []
        line = " ".join([stable, *_line([*others[:told], *more, *counts])])
        if len(line) <= LONGEST_PROOF:
            break
    return line


def _plain(trouble: Trouble, inventory: Inventory, texts: Texts) -> str:
    return "".join(text for _, text in _pieces(trouble, inventory, texts))


def _pieces(trouble: Trouble, inventory: Inventory, texts: Texts) -> Iterator[tuple[bool, str]]:
    """Yield the words of a cause; True where they stood in [brackets]."""
    sites = [inventory.sites[site] for site in trouble.sites if site in inventory.sites]
    word = _word(trouble, inventory, texts)
    if trouble.cause == "site_silent":
        pattern = texts.silent
    elif trouble.cause == "check_down":
        pattern = texts.layer if word else texts.check
    else:
        pattern = texts.causes[trouble.cause]
    named = _named(trouble, inventory, texts)
    begins = trouble.cause in texts.causes  # a general word may stand at its beginning
    for i, part in enumerate(re.split(r"[\[\]]", pattern)):
        if part:
            text = part.format(
                places=counted(sites, texts),
                check=_check(trouble, inventory, texts),
                word=word,
                **named,
            )
            yield i % 2 == 1, text[0].upper() + text[1:] if begins else text
            begins = False
    if trouble.flapping:
        yield False, texts.flapping


def _named(trouble: Trouble, inventory: Inventory, texts: Texts) -> dict[str, str]:
    """Return the names of a cause's subject; a general word where the incident has none."""
    carrier = inventory.carriers.get(trouble.carrier)
    system = inventory.systems.get(trouble.system)
    name = carrier.name if carrier else trouble.carrier
    line = name or trouble.line
    return {
        "carrier": name or texts.some_carrier,
        "line": texts.line.format(name=line) if line else texts.some_line,
        "system": abbreviated(getattr(system.name, texts.lang)) if system else texts.some_system,
        "in_area": texts.in_area.format(area=trouble.area) if trouble.area else "",
    }


def _word(trouble: Trouble, inventory: Inventory, texts: Texts) -> str:
    """Return what is said of places that are cut off; empty where they are not."""
    check = inventory.checks.get(trouble.check)
    if trouble.state != "down" or check is None:
        return ""
    return texts.broken_layers[check.layer][1]


def _check(trouble: Trouble, inventory: Inventory, texts: Texts) -> str:
    check = inventory.checks.get(trouble.check)
    return abbreviated(getattr(check.name, texts.lang)) if check else trouble.check


def _counts(tally: Mapping[str, int], states: Iterable[str], texts: Texts) -> list[str]:
    return [joined(f"{tally[state]} {texts.states[state]}") for state in states if tally[state]]


def _line(parts: Sequence[str]) -> list[str]:
    return ["; ".join(parts) + "."] if parts else []
