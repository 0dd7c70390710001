"""The page of a piece of evidence: what an agent saw, put into words beside the last good path. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from agent.wire import read_path
from collector.diagnosis import words
from collector.diagnosis.evidence import Dossier, Evidence, incident_of
from collector.diagnosis.incident import Incident
from collector.inventory.model import Inventory
from collector.wall import said
from collector.wall.locale import TEXTS
from collector.wall.locale.texts import Texts
from collector.wall.names import full_name
from collector.wall.path import Step, aim, steps, verdict

CERTIFICATE = re.compile(r"(\S+Z) (\S+Z) (.*) <- (.*)")


@dataclass(frozen=True, slots=True)
class Row:
    """Something said of the failure, under its name."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Other evidence."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """One piece of evidence as values: ready texts."""

    lang: str
    title: str
    place: str
    verdict: str
    """Where the way broke, in a sentence."""
    facts: tuple[Row, ...]
    """What, where and when."""
    path_title: str
    good_title: str
    steps: tuple[Step, ...]
    surroundings: tuple[Row, ...]
    earlier: tuple[Link, ...]
    alike: tuple[Link, ...]


def address_of(agent: str, check: str, lang: str = "", chosen: str = "") -> str:
    """Return the address of a page."""
    asked = {name: word for name, word in (("id", chosen), ("lang", lang)) if word}
    path = f"/evidence/{quote(agent, safe='')}/{quote(check, safe='')}"
    return path + (f"?{urlencode(asked)}" if asked else "")


def evidence_page(
    dossier: Dossier, inventory: Inventory, lang: str, *, chosen: str = ""
) -> EvidencePage | None:
    """Return the page of the chosen evidence, or of the newest; None where there is none."""
    of_id = {one.id: one for one in reversed(dossier.evidence)}
    if not of_id:
        return None
    return page_of(of_id.get(chosen, dossier.evidence[0]), dossier, inventory, lang)


def page_of(shown: Evidence, dossier: Dossier, inventory: Inventory, lang: str) -> EvidencePage:
    """Return the page of one of a dossier's."""
    texts = TEXTS[lang]
    now, good = (read_path(shown.facts.get(name, "")) for name in ("path", "last_good_path"))
    gateway = said.read_gateway(shown.facts.get("gateway", ""))
    return EvidencePage(
        lang=lang,
        title=texts.evidence_title.format(check=_check_name(shown, inventory, texts)),
        place=_site_name(shown.site, inventory, texts),
        verdict=verdict(now, good, texts, gateway) if now else _untraced(shown, texts),
        facts=tuple(_facts(shown, dossier.incidents, inventory, texts)),
        path_title=texts.path_now.format(by=aim(now)) if now else texts.path,
        good_title=_good_title(shown, inventory, texts) if good else "",
        steps=steps(now, good, texts, gateway) if now or good else (),
        surroundings=tuple(_surroundings(shown, inventory, texts)),
        earlier=tuple(
            Link(address_of(one.agent, one.check, lang, one.id), _when(one, inventory, texts))
            for one in dossier.evidence
            if one is not shown
        ),
        alike=tuple(
            Link(
                address_of(one.agent, one.check, lang, one.id),
                f"{_site_name(one.site, inventory, texts)}, {_when(one, inventory, texts)}",
            )
            for one in dossier.alike
        ),
    )


def _facts(
    shown: Evidence, incidents: Iterable[Incident], inventory: Inventory, texts: Texts
) -> Iterable[Row]:
    named = texts.evidence_facts
    yield Row(named["at"], (_when(shown, inventory, texts),))
    incident = incident_of(shown, incidents)
    if incident is not None:
        lasted = incident_in_words(incident, inventory, texts)
        silent = incident.cause == "site_silent"  # another thing than what failed here
        yield Row(named["incident"], (*((_title(incident, inventory, texts),) * silent), lasted))
    yield Row(named["line"], (_line(shown, inventory, texts),))
    yield Row(named["failure"], _failure(shown, texts))
    target = shown.target
    address = shown.facts.get("address", "")
    yield Row(named["target"], (target, *([address] if address and address not in target else [])))
    yield Row(named["seen_from"], (f"{_site_name(shown.site, inventory, texts)} · {shown.agent}",))
    if shown.subject != shown.site:
        yield Row(named["about"], (_site_name(shown.subject, inventory, texts),))


def _surroundings(shown: Evidence, inventory: Inventory, texts: Texts) -> Iterable[Row]:
    if read_path(shown.facts.get("path", "")) is None and "path" in shown.facts:
        yield Row(texts.path, (said.reason(shown.facts["path"], texts),))
    if "gateway" in shown.facts:
        gateway = said.gateway(shown.facts["gateway"], texts)
        yield Row(texts.evidence_facts["gateway"], (gateway,))
    if "lines" in shown.facts:
        lines = tuple(said.line(line, texts) for line in shown.facts["lines"].split("\n"))
        yield Row(texts.evidence_facts["lines"], lines)
    if "dns" in shown.facts:
        yield Row(texts.evidence_facts["dns"], said.resolvers(shown.facts["dns"], texts))
    if "tls_chain" in shown.facts:
        chain = shown.facts["tls_chain"]
        lines = tuple(_certificate(line, inventory, texts) for line in chain.split("\n"))
        yield Row(texts.evidence_facts["tls_chain"], lines)


def _untraced(shown: Evidence, texts: Texts) -> str:
    return texts.path_none if "path" in shown.facts else texts.path_no_address


def _good_title(shown: Evidence, inventory: Inventory, texts: Texts) -> str:
    age = shown.facts.get("last_good_age_seconds", "")
    if not age.isdecimal():
        return texts.path_good
    at = words.local_time(shown.at - int(age[:9]), inventory)
    return f"{texts.path_good}: {at}"


def _certificate(line: str, inventory: Inventory, texts: Texts) -> str:
    found = CERTIFICATE.fullmatch(line)
    if found is None:
        return said.reason(line, texts)
    try:
        begins, ends = (datetime.fromisoformat(found[number]).astimezone(UTC) for number in (1, 2))
    except ValueError:
        return line
    return texts.certificate.format(
        subject=found[3],
        issuer=found[4],
        begins=words.local_time(begins.timestamp(), inventory),
        ends=words.local_time(ends.timestamp(), inventory),
    )


def _failure(shown: Evidence, texts: Texts) -> tuple[str, ...]:
    """Say what failed; what the agent says of it in its own words is set apart."""
    name, remark = said.failed(shown.failure, shown.detail, texts)
    return (name, texts.remark.format(text=said.quoted(remark))) if remark else (name,)


def incident_in_words(incident: Incident, inventory: Inventory, texts: Texts) -> str:
    """Say from when to when an incident lasted."""
    ended = incident.closed_at
    pattern = texts.evidence_open if ended is None else texts.evidence_closed
    return pattern.format(
        id=incident.id,
        begin=words.local_time(incident.since, inventory),
        end="" if ended is None else words.local_time(ended, inventory),
    )


def _title(incident: Incident, inventory: Inventory, texts: Texts) -> str:
    return str(getattr(words.title(incident, inventory), texts.lang))


def _when(shown: Evidence, inventory: Inventory, texts: Texts) -> str:
    at = words.local_time(shown.at, inventory)
    return at if shown.trusted else f"{at} ({texts.time_untrusted})"


def _line(shown: Evidence, inventory: Inventory, texts: Texts) -> str:
    if not shown.line:
        return texts.line_by_system
    for line in inventory.lines.get(shown.site, ()):
        if line.name == shown.line:
            carrier = inventory.carriers.get(line.carrier)
            return f"{line.name} · {carrier.name if carrier else line.carrier} · {line.kind}"
    return shown.line


def _site_name(site: str, inventory: Inventory, texts: Texts) -> str:
    known = inventory.sites.get(site)
    return f"{full_name(known, texts)} ({site})" if known else site


def _check_name(shown: Evidence, inventory: Inventory, texts: Texts) -> str:
    check = inventory.checks.get(shown.check)
    return getattr(check.name, texts.lang) if check else shown.check
