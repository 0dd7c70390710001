"""Pages and parts of pages as HTML, and what has to be said when one page becomes another."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from collector.wall import forms
from collector.wall.assets import Assets
from collector.wall.evidence import EvidencePage
from collector.wall.incident import Form, IncidentPage
from collector.wall.incidents import IncidentsPage
from collector.wall.ledger import LedgerPage
from collector.wall.locale import TEXTS
from collector.wall.locale.duty import DUTY_TEXTS
from collector.wall.page import Overview, Tile

GRAVITY: Final = {"degraded": 1, "silent": 2, "down": 3}
"""Of a tile's state, against those that call nobody."""
NAMES_SAID = 3

Message = dict[str, Any]
"""`parts`: HTML by name · `tiles`: state, word and what its age counts from, by site · `worse`:
what a screen reader says · `limits`, `title` · `build`: only with a whole page."""


class Renderer:
    """Knows the templates and the assets; keeps nothing of what it rendered."""

    def __init__(self, assets: Assets) -> None:
        loader = PackageLoader("collector.wall")
        environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["static"] = assets.url
        self._overview = environment.get_template("overview.html")
        self._evidence = environment.get_template("evidence.html")
        self._ledger = environment.get_template("ledger.html")
        self._incident = environment.get_template("incident.html")
        self._incidents = environment.get_template("incidents.html")
        parts = environment.get_template("parts.html")
        self._macros: dict[str, Any] = {
            lang: parts.make_module(
                {
                    "texts": texts,
                    "age_parts": partial(forms.age_parts, texts=texts),
                    "tile_age": partial(forms.tile_age, texts=texts),
                    "span": partial(forms.span, texts=texts),
                    "countdown": partial(forms.countdown, texts=texts),
                }
            )
            for lang, texts in TEXTS.items()
        }
        sources = [loader.get_source(environment, name)[0] for name in loader.list_templates()]
        self._program = repr((sources, sorted(assets.by_name)))

    def page(self, page: Overview, *, theme: str = "") -> str:
        """Return a whole document. `theme` is `dark`, `light`, or empty for what the reader prefers."""
        texts = TEXTS[page.lang]
        lost_before, _, lost_after = texts.lost.partition("{at}")
        return self._overview.render(
            page=page,
            texts=texts,
            theme=theme,
            parts=self._macros[page.lang],
            incidents_word=DUTY_TEXTS[page.lang].incidents,
            build=self.build(page),
            lost_before=lost_before,
            lost_after=lost_after,
        )

    def evidence(self, page: EvidencePage, *, theme: str = "") -> str:
        """Return the document of one piece of evidence."""
        return self._evidence.render(page=page, texts=TEXTS[page.lang], theme=theme)

    def ledger(self, page: LedgerPage, *, theme: str = "") -> str:
        """Return the document of a ledger."""
        return self._ledger.render(page=page, texts=TEXTS[page.lang], theme=theme)

    def incidents(self, page: IncidentsPage, form: Form, *, theme: str = "") -> str:
        """Return the document of the list of incidents."""
        return self._incidents.render(page=page, form=form, theme=theme, **_words(page.lang))

    def incident(self, page: IncidentPage, form: Form, *, theme: str = "") -> str:
        """Return the document of one incident."""
        return self._incident.render(page=page, form=form, theme=theme, **_words(page.lang))

    def build(self, page: Overview) -> str:
        """Return a word for everything that messages cannot change: program, places, their order."""
        places = [
            (
                group.title,
                group.note,
                [(tile.id, tile.full, tile.roomy, tile.short) for tile in group.tiles],
            )
            for group in page.groups
        ]
        fixed = repr((self._program, TEXTS[page.lang], page.province, page.region, places))
        return hashlib.sha256(fixed.encode()).hexdigest()[:12]

    def whole(self, page: Overview) -> Message:
        """Return the message that brings any page of this build up to date."""
        return {
            "build": self.build(page),
            "limits": (page.limits.late, page.limits.lost),
            "title": page.title,
            "parts": {name: self._part(name, page) for name in _parts(page)},
            "tiles": {tile.id: _tile(tile) for tile in _tiles(page)},
        }

    def changes(self, old: Overview, new: Overview) -> Message:
        """Return what has to be said to a page that shows `old`; empty where nothing changed."""
        message: Message = {}
        was = _parts(old)
        parts = {
            name: self._part(name, new) for name, said in _parts(new).items() if said != was[name]
        }
        turned = [
            (before, after)
            for before, after in zip(_tiles(old), _tiles(new), strict=True)
            if before != after
        ]
        if parts:
            message["parts"] = parts
        if turned:
            message["tiles"] = {after.id: _tile(after) for _, after in turned}
        if worse := _worse(turned, new.lang):
            message["worse"] = worse
        if old.limits != new.limits:
            message["limits"] = (new.limits.late, new.limits.lost)
        if old.title != new.title:
            message["title"] = new.title
        return message

    def _part(self, name: str, page: Overview) -> str:
        texts = {"date": page.date, "show-all": page.show_all}
        if name in texts:
            return str(escape(texts[name]))
        if name.startswith("group-"):
            return str(escape(page.groups[int(name.removeprefix("group-"))].count))
        return str(getattr(self._macros[page.lang], name)(page)).strip()


def _words(lang: str) -> dict[str, Any]:
    return {"texts": TEXTS[lang], "duty": DUTY_TEXTS[lang]}


def _parts(page: Overview) -> dict[str, object]:
    """Return the values that each part of a page is rendered from."""
    return {
        "date": page.date,
        "phase": page.phase,
        "say": (page.sentence, page.proof),
        "tally": page.tally,
        "show-all": page.show_all,
        **{f"group-{i}": group.count for i, group in enumerate(page.groups)},
        "incidents": (
            page.incidents_title,
            page.cards,
            page.more_on_wall,
            page.more_elsewhere,
        ),
        "systems": (page.systems, page.systems_on_wall),
    }


def _tiles(page: Overview) -> Iterator[Tile]:
    for group in page.groups:
        yield from group.tiles


def _tile(tile: Tile) -> tuple[str, str, float | None]:
    return tile.state, tile.word, None if tile.since is None else round(tile.since, 2)


def _worse(turned: Iterable[tuple[Tile, Tile]], lang: str) -> str:
    """Return what a screen reader says of places that became worse; recoveries are quiet."""
    texts = TEXTS[lang]
    worse = [
        texts.worse.format(site=after.full, state=after.word)
        for before, after in turned
        if GRAVITY.get(after.state, 0) > GRAVITY.get(before.state, 0)
    ]
    said = worse[:NAMES_SAID]
    if len(worse) > NAMES_SAID:
        left = len(worse) - NAMES_SAID
        said.append(forms.plural(texts.worse_more, left).format(n=left))
    return "; ".join(said)
