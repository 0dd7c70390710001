"""The pages of incidents over HTTP: to look, and plain forms to act, which need no script."""

import sqlite3
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from collector.diagnosis.incident import Incident
from collector.duty.acts import LONGEST_NAME, LONGEST_TEXT, Act, ActError, Kind, cleaned
from collector.visitors import VISITOR
from collector.wall.addresses import incident_url, incidents_url
from collector.wall.asked import HEADERS, lang_of, page_response, theme_of
from collector.wall.incident import Form, incident_page
from collector.wall.incidents import Reader, list_page
from collector.wall.live import Centre
from collector.wall.locale.duty import DUTY_TEXTS
from collector.wall.render import Renderer
from collector.wall.visitor import is_forged, name_of, remember, token_of

RECENT = 50
LARGEST_FORM = 16 << 10
DOING: dict[str, Kind] = {
    "acknowledge": "acknowledged",
    "take_back": "taken_back",
    "assign": "assigned",
    "note": "noted",
}
STATUS = {
    "forged": HTTPStatus.FORBIDDEN,
    "meanwhile": HTTPStatus.CONFLICT,
    "closed": HTTPStatus.CONFLICT,
    "not_acknowledged": HTTPStatus.CONFLICT,
    "holds_none": HTTPStatus.CONFLICT,
    "not_saved": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Of what is refused; anything else is a form filled in wrongly."""


def add_duty_routes(
    app: web.Application, centre: Centre, renderer: Renderer, clock: Callable[[], float]
) -> None:
    """Add the pages. `clock` gives the centre's UTC seconds."""
    routes = _Routes(centre, renderer, clock)
    app.router.add_get("/incidents", routes.show_list)
    app.router.add_post("/incidents", routes.hand_over)
    app.router.add_get("/incidents/{id}", routes.show_one)
    app.router.add_post("/incidents/{id}", routes.act)


class _Routes:
    def __init__(self, centre: Centre, renderer: Renderer, clock: Callable[[], float]) -> None:
        self._centre = centre
        self._renderer = renderer
        self._clock = clock

    async def show_list(self, request: web.Request) -> web.Response:
        return await self._list(request, _form(request))

    async def show_one(self, request: web.Request) -> web.Response:
        return await self._one(request, _form(request))

    async def act(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        incident, _ = await self._centre.incident(request.match_info["id"])
        if incident is None:
            raise _none(request)
        kind = DOING.get(asked.get("act", ""))
        if kind is None:
            raise web.HTTPBadRequest(headers=HEADERS)
        wish = Act(
            incident=incident.id,
            at=self._clock(),
            kind=kind,
            who=_name(asked),
            address=_address(request),
            text=_text(asked),
            to=cleaned(asked.get("to", ""), LONGEST_NAME) if kind == "assigned" else "",
        )
        word = await self._done(request, asked, wish, incident)
        if word:
            return await self._one(request, _form(request, asked, word), word)
        back = incident_url("", incident.id, lang=lang_of(request), theme=theme_of(request))
        return _see(request, back, wish.who)

    async def hand_over(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        wish = Act(
            incident="",
            at=self._clock(),
            kind="handed_over",
            who=_name(asked),
            address=_address(request),
            text=_text(asked),
            to=cleaned(asked.get("to", ""), LONGEST_NAME),
        )
        word = await self._done(request, asked, wish, None)
        if word:
            return await self._list(request, _form(request, asked, word), word)
        back = incidents_url(lang=lang_of(request), theme=theme_of(request))
        return _see(request, back, wish.who)

    async def _done(
        self, request: web.Request, asked: dict[str, str], wish: Act, incident: Incident | None
    ) -> str:
        """Do what is wished; return the word of why it was not done."""
        if is_forged(request, asked.get("form", "")):
            return "forged"
        duty = self._centre.duty
        try:
            if incident is None:
                await duty.hand_over(wish, list(self._centre.incidents.open.values()))
            else:
                await duty.do(wish, incident, holder=asked.get("holder"))
        except ActError as refused:
            return refused.word
        except (sqlite3.Error, OSError):
            return "not_saved"
        return ""

    async def _list(self, request: web.Request, form: Form, word: str = "") -> web.Response:
        centre, state = self._centre, request.query.get("state", "")
        reader = self._reader(request)
        opened = [(one, centre.duty.of(one.id)) for one in centre.incidents.open.values()]
        closed = await centre.recent(RECENT) if state == "closed" else ()
        page = list_page(opened, closed, reader, state, self._problem(reader))
        text = self._renderer.incidents(page, form, theme=reader.theme)
        return _shown(request, text, form, word)

    async def _one(self, request: web.Request, form: Form, word: str = "") -> web.Response:
        incident, acts = await self._centre.incident(request.match_info["id"])
        if incident is None:
            raise _none(request)
        reader = self._reader(request)
        page = incident_page(
            incident,
            acts,
            reader,
            sites=self._centre.fleet.sites,
            evidence=self._centre.evidence.newest,
            problem=self._problem(reader),
        )
        text = self._renderer.incident(page, form, theme=reader.theme)
        return _shown(request, text, form, word)

    def _reader(self, request: web.Request) -> Reader:
        inventory = self._centre.fleet.inventory
        return Reader(inventory, self._clock(), lang_of(request), theme_of(request))

    def _problem(self, reader: Reader) -> str:
        why = self._centre.silencer.problem
        return reader.duty.silence_problem.format(why=why) if why else ""


def _form(request: web.Request, asked: dict[str, str] | None = None, refusal: str = "") -> Form:
    """Return the form as the visitor will see it: what was typed and not done stays."""
    typed = asked or {}
    return Form(
        token=token_of(request),
        name=_name(typed) or name_of(request),
        text=_text(typed),
        to=cleaned(typed.get("to", ""), LONGEST_NAME),
        refusal=refusal,
    )


async def _read(request: web.Request) -> dict[str, str]:
    if (request.content_length or 0) > LARGEST_FORM or request.content_length is None:
        raise web.HTTPRequestEntityTooLarge(
            LARGEST_FORM, request.content_length or 0, headers=HEADERS
        )
    return {key: word for key, word in (await request.post()).items() if isinstance(word, str)}


def _shown(request: web.Request, text: str, form: Form, word: str) -> web.Response:
    response = page_response(text, forms=True)
    if word:
        response.set_status(STATUS.get(word, HTTPStatus.UNPROCESSABLE_ENTITY))
    remember(request, response, form.token, "")
    return response


def _see(request: web.Request, address: str, name: str) -> web.Response:
    """Answer a form that was done: the browser gets the page anew, and asks no questions then."""
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={**HEADERS, "Location": address})
    remember(request, response, token_of(request), name)
    return response


def _name(asked: dict[str, str]) -> str:
    return cleaned(asked.get("name", ""), LONGEST_NAME)


def _text(asked: dict[str, str]) -> str:
    return cleaned(asked.get("text", ""), LONGEST_TEXT)


def _address(request: web.Request) -> str:
    address: str = request.get(VISITOR, request.remote or "")
    return address


def _none(request: web.Request) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"{DUTY_TEXTS[lang_of(request)].none}\n", headers=HEADERS)
