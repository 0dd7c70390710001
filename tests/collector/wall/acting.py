"""A visitor with a browser's cookies, who opens pages of incidents and sends their forms."""

import contextlib
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import aiohttp

from collector.diagnosis.incident import Incident
from tests.collector.a_province import NOON, YPHU, gateway
from tests.collector.wall.looks import Centre

TOKEN = re.compile(r'name="form" value="([0-9a-f]{32})"')


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """What a person reads, in one line."""
        body = re.sub(r"<[^>]+>", " ", self.text[self.text.index("<body") :])
        return " ".join(html.unescape(body).replace("\u00a0", " ").split())


@dataclass(slots=True)
class Visitor:
    """One person's browser."""

    session: aiohttp.ClientSession
    base: str
    token: str = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, base: str) -> AsyncIterator[Self]:
        """Open a browser."""
        jar = aiohttp.CookieJar(unsafe=True)  # 127.0.0.1 is a host like any other here
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield cls(session, base.rstrip("/"))

    async def open(self, path: str) -> Seen:
        """Open a page, and know the token of its forms."""
        async with self.session.get(self.base + path) as answer:
            seen = Seen(answer.status, dict(answer.headers), await answer.text())
        found = TOKEN.search(seen.text)
        self.token = found[1] if found else ""
        return seen

    async def send(self, path: str, *, follow: bool = True, **fields: str) -> Seen:
        """Send a form; `headers` in front of other fields are its own."""
        headers = {"Sec-Fetch-Site": fields.pop("come_from", "same-origin")}
        data = {"form": self.token} | fields
        async with self.session.post(
            self.base + path, data=data, headers=headers, allow_redirects=follow
        ) as answer:
            return Seen(answer.status, dict(answer.headers), await answer.text())


def a_centre() -> tuple[Centre, Incident]:
    """Return a centre with one open incident: a router that does not answer since noon."""
    centre = Centre()
    centre.hear(NOON)
    centre.feed(gateway(YPHU), "uu", NOON - 5)
    centre.feed(gateway(YPHU), "ddd", NOON)
    centre.look(NOON + 3)
    (incident,) = centre.incidents.open.values()
    return centre, incident
