"""maintenance.yml: planned work, once or again and again. The file may be missing."""

from collections.abc import Iterator, Mapping
from datetime import datetime, time
from typing import get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

from agent.config import ID
from collector.inventory.model import Day, Text, Window
from collector.inventory.problems import WORD, known
from collector.inventory.yamltext import Document

FILE = "maintenance.yml"
WHERE = ("sites", "areas", "lines", "carriers", "systems")
NIGHT = "such as '22:00-02:00'"


class RawWindow(Struct, frozen=True, kw_only=True):
    """One entry, as written."""

    id: str
    name: Text
    begins: datetime | None = None
    ends: datetime | None = None
    days: list[Day] = []
    span: str = ""
    sites: list[str] = []
    areas: list[str] = []
    lines: list[str] = []
    carriers: list[str] = []
    systems: list[str] = []


class RawMaintenance(Struct, frozen=True, kw_only=True):
    """maintenance.yml, as written."""

    windows: list[RawWindow]


def read_maintenance(
    document: Document, zone: ZoneInfo, named: Mapping[str, Mapping[str, object] | None]
) -> tuple[Window, ...]:
    """Return the windows; mistakes are noted in the document.

    `named`: by key of WHERE, the words the folder has; None where those could not be read, so that
    any word may be right.
    """
    raw = document.read(RawMaintenance)
    windows: dict[str, Window] = {}
    for entry in raw.windows if raw else []:
        path = f"windows[{entry.id}]"
        if entry.id in windows:
            document.note(f"{path}.id", "is used twice")
            continue
        for key, problem in _mistakes(entry, named):
            document.note(f"{path}.{key}" if key else path, problem)
        window = _window(entry, zone)
        if window.begins and window.ends and window.ends <= window.begins:
            document.note(f"{path}.ends", f"{window.ends} is not after begins, {window.begins}")
        windows[entry.id] = window
    return tuple(windows.values())


def _mistakes(
    entry: RawWindow, named: Mapping[str, Mapping[str, object] | None]
) -> Iterator[tuple[str, str]]:
    if not ID.fullmatch(entry.id):
        yield "id", f"found {entry.id!r}, expected {WORD}"
    if not (entry.name.vi and entry.name.en):
        yield "name", "expected text in both languages"
    once, again = (bool(entry.begins), bool(entry.ends)), (bool(entry.days), bool(entry.span))
    if (once, again) not in {((True, True), (False, False)), ((False, False), (True, True))}:
        yield "", "expected either begins and ends, or days and span"
    if entry.span and _span(entry.span) is None:
        yield "span", f"found {entry.span!r}, expected {NIGHT}"
    if not any(getattr(entry, key) for key in WHERE):
        yield "", f"covers nothing, expected one or more of: {', '.join(WHERE)}"
    for key in WHERE:
        words = named[key]
        for word in getattr(entry, key):
            if words is not None and word not in words:
                yield key, f"found {word!r}, which nothing in this folder has; {known(word, words)}"


def _window(entry: RawWindow, zone: ZoneInfo) -> Window:
    return Window(
        id=entry.id,
        name=entry.name,
        begins=_aware(entry.begins, zone),
        ends=_aware(entry.ends, zone),
        days=tuple(day for day in get_args(Day) if day in entry.days),
        span=_span(entry.span) if entry.span else None,
        sites=tuple(entry.sites),
        areas=tuple(entry.areas),
        lines=tuple(entry.lines),
        carriers=tuple(entry.carriers),
        systems=tuple(entry.systems),
    )


def _aware(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """Return a moment in the province's time: what is written without a zone is meant so."""
    return moment.replace(tzinfo=zone) if moment and moment.tzinfo is None else moment


def _span(text: str) -> tuple[time, time] | None:
    first, _, last = text.partition("-")
    try:
        begins, ends = time.fromisoformat(first.strip()), time.fromisoformat(last.strip())
    except ValueError:
        return None
    return None if begins.tzinfo or ends.tzinfo or begins == ends else (begins, ends)
