"""What `thongsuot-collector evidence` prints: the evidence of one place, for a carrier.

Read from the state directory of a collector that runs or has stopped; nothing is written there.
"""

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

import msgspec

from collector.config import CollectorConfig
from collector.diagnosis import words
from collector.diagnosis.evidence import Dossier, incident_of, read_site
from collector.inventory.model import Inventory
from collector.wall.evidence import EvidencePage, Row, incident_in_words, page_of
from collector.wall.locale import TEXTS
from collector.wall.locale.texts import Texts
from collector.wall.names import full_name
from collector.wall.path import Step

NAME_WIDTH = 24


class ExportError(Exception):
    """What was asked for cannot be had; the message is for people."""


def export(
    config: CollectorConfig,
    inventory: Inventory,
    site: str,
    *,
    begin: str = "",
    end: str = "",
    lang: str = "vi",
    as_json: bool = False,
) -> str:
    """Return the evidence of a place, as text or JSON. ExportError says what was expected."""
    if site not in inventory.sites:
        raise ExportError(f"{site}: expected a site of {config.province}")
    since, until = moment(begin, inventory), moment(end, inventory, through=True)
    path = config.state_directory / "state.sqlite"
    first, last = since or float("-inf"), until or float("inf")
    try:
        dossier = read_site(path, site, first, last)
    except sqlite3.Error as exc:
        raise ExportError(f"{path}: cannot be read: {exc}") from exc
    if as_json:
        return _json(dossier, inventory, site) + "\n"
    return "\n".join(_text(dossier, inventory, site, lang)) + "\n"


def moment(text: str, inventory: Inventory, *, through: bool = False) -> float | None:
    """Return a moment given in the province's time; `through`: a day alone means its end."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ExportError(f"{text!r}: expected 2025-07-01 or 2025-07-01T09:30") from exc
    if at.tzinfo is None:
        at = at.replace(tzinfo=inventory.time_zone)
    if through and len(text) == len("2025-07-01"):
        at += timedelta(days=1)
    return at.timestamp()


def _json(dossier: Dossier, inventory: Inventory, site: str) -> str:
    evidence = []
    for one in dossier.evidence:
        incident = incident_of(one, dossier.incidents)
        at = datetime.fromtimestamp(one.at, inventory.time_zone)
        said: dict[str, Any] = {
            **msgspec.to_builtins(one),
            "time": at.isoformat(timespec="milliseconds"),
            "incident": incident.id if incident else None,
        }
        evidence.append(said)
    whole = {
        "province": inventory.id,
        "site": site,
        "incidents": msgspec.to_builtins(dossier.incidents),
        "evidence": evidence,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def _text(dossier: Dossier, inventory: Inventory, site: str, lang: str) -> Iterator[str]:
    texts = TEXTS[lang]
    province = texts.province.format(name=getattr(inventory.name, lang))
    yield f"{province} · {full_name(inventory.sites[site], texts)} ({site})".replace("\u00a0", " ")
    count = len(dossier.evidence)
    yield f"{texts.evidence}: {count}" if count else texts.evidence_none
    for incident in dossier.incidents:
        title = getattr(words.title(incident, inventory), lang)
        yield f"{title}: {incident_in_words(incident, inventory, texts)}"
    for one in reversed(dossier.evidence):
        yield ""
        yield from _one(page_of(one, dossier, inventory, lang), texts)


def _one(page: EvidencePage, texts: Texts) -> Iterator[str]:
    yield page.title
    yield page.verdict
    yield from _rows(page.facts)
    if page.steps:
        yield from _steps(page, texts)
    yield from _rows(page.surroundings)


def _rows(rows: tuple[Row, ...]) -> Iterator[str]:
    for row in rows:
        for name, line in zip_longest([row.name], row.lines, fillvalue=""):
            yield f"  {name:{NAME_WIDTH}}{line}".replace("\u00a0", " ").rstrip()


def _steps(page: EvidencePage, texts: Texts) -> Iterator[str]:
    rows = [
        (texts.path_hop, page.path_title, page.good_title),
        *((step.distance, *_sides(step)) for step in page.steps),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for step, (distance, now, good) in zip((None, *page.steps), rows, strict=True):
        mark = ">" if step and step.cut else " "
        yield f" {mark}{distance:{widths[0]}}  {now:{widths[1]}}  {good}".rstrip()


def _sides(step: Step) -> tuple[str, ...]:
    return tuple(
        "  ".join(filter(None, (cell.router, cell.said))) for cell in (step.now, step.good)
    )
