"""Silences: an acknowledged incident is silenced in Alertmanager, so that nobody is reminded of it.

A silence also swallows the "resolved" of what ends under it. So it is a lease, renewed while the
incident is open and acknowledged, and ended with either. What ended a moment before its silence did
is told again by Prometheus (every resend-delay, for 15 minutes), and Alertmanager then sends the
close it owes. A lease is shorter than that: the close gets out even where our word to end the
silence does not.

Each round compares what Alertmanager has with what should be there, so nothing is kept here, and a
restart or an Alertmanager that forgot mends itself.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import msgspec
from msgspec import Struct

from collector.duty.acts import Act

LEASE_SECONDS = 300.0
"""Well below the 15 minutes for which Prometheus repeats that an alert has ended."""
ROUND_SECONDS = 60.0
RETRY_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
SIGN = "Thông Suốt"
"""Begins the comment of a silence of ours; others are never touched."""
log = logging.getLogger(__name__)


class Silence(Struct, frozen=True, kw_only=True):
    """One of ours that is in force."""

    id: str = ""
    """Alertmanager's; "" for one to be made."""
    incident: str
    by: str
    starts_at: float
    ends_at: float


class Plan(Struct, frozen=True):
    """What has to be said to Alertmanager."""

    put: list[Silence]
    end: list[str]


class _Matcher(Struct):
    name: str
    value: str
    isRegex: bool = False  # noqa: N815 - Alertmanager's words
    isEqual: bool = True  # noqa: N815


class _Status(Struct):
    state: str


class _Known(Struct):
    """A silence as Alertmanager tells it; other keys are passed over."""

    id: str
    status: _Status
    matchers: list[_Matcher]
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    createdBy: str  # noqa: N815
    comment: str = ""


_known = msgspec.json.Decoder(list[_Known])


def plan(wanted: Mapping[str, Act], found: Iterable[Silence], now: float) -> Plan:
    """Return what brings the silences found to those wanted, by incident. Pure."""
    kept: dict[str, Silence] = {}
    end = []
    for silence in found:
        act = wanted.get(silence.incident)
        if act is None or act.who != silence.by or silence.incident in kept:
            end.append(silence.id)
        else:
            kept[silence.incident] = silence
    put = []
    for incident, act in wanted.items():
        there = kept.get(incident)
        fresh = Silence(incident=incident, by=act.who, starts_at=now, ends_at=now + LEASE_SECONDS)
        if there is None:
            put.append(fresh)
        elif there.ends_at - now < LEASE_SECONDS - ROUND_SECONDS / 2:
            put.append(
                msgspec.structs.replace(fresh, id=there.id, starts_at=there.starts_at)
            )  # only the end of a silence in force can be changed
    return Plan(put, end)


def ours(answer: bytes, province: str) -> list[Silence]:
    """Return the silences in force that this province's collector made. msgspec.DecodeError."""
    found = []
    for one in _known.decode(answer):
        if one.status.state == "expired" or not one.comment.startswith(SIGN):
            continue
        if len(one.matchers) != 1 or one.matchers[0].name != "id" or one.matchers[0].isRegex:
            continue
        incident = one.matchers[0].value
        if incident.rsplit("-", 2)[0] == province:
            found.append(
                Silence(
                    id=one.id,
                    incident=incident,
                    by=one.createdBy,
                    starts_at=one.startsAt.timestamp(),
                    ends_at=one.endsAt.timestamp(),
                )
            )
    return found


class HasAcknowledged(Protocol):
    """What knows which open incidents somebody has acknowledged."""

    changed: asyncio.Event

    @property
    def acknowledged(self) -> Mapping[str, Act]:
        """The acknowledgements in force, by open incident."""


class Silencer:
    """Keeps one Alertmanager, or the peers of one cluster, told. Never raises, never waited for."""

    def __init__(self, urls: Sequence[str], duty: HasAcknowledged, province: str) -> None:
        self._urls = list(urls)
        self._duty = duty
        self._province = province
        self.problem = ""
        """Why acknowledgements do not silence at the moment; "" where they do."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Do a round at each change and each minute, until told to stop."""
        if not self._urls:
            return
        ended = asyncio.ensure_future(stopping.wait())
        async with aiohttp.ClientSession() as session:
            while not stopping.is_set():
                self._duty.changed.clear()
                await self._round(session)
                changed = asyncio.ensure_future(self._duty.changed.wait())
                wait = RETRY_SECONDS if self.problem else ROUND_SECONDS
                await asyncio.wait(
                    (changed, ended), timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()

    async def _round(self, session: aiohttp.ClientSession) -> None:
        problem = ""
        for url in list(self._urls):
            try:
                await self._tell(session, url)
            except (
                aiohttp.ClientError,
                TimeoutError,
                OSError,
                msgspec.DecodeError,
                _Refused,
            ) as exc:
                problem = f"{url}: {exc or type(exc).__name__}"
                self._urls.append(self._urls.pop(0))  # its peers know the same silences
            else:
                problem = ""
                break
        if problem and not self.problem:
            log.warning("acknowledgements do not silence problem=%s", problem)
        elif self.problem and not problem:
            log.info("acknowledgements silence again")
        self.problem = problem

    async def _tell(self, session: aiohttp.ClientSession, url: str) -> None:
        answer = await _ask(session, "GET", f"{url}/api/v2/silences")
        now = datetime.now(UTC).timestamp()
        todo = plan(self._duty.acknowledged, ours(answer, self._province), now)
        for identity in todo.end:
            await _ask(session, "DELETE", f"{url}/api/v2/silence/{identity}")
        for silence in todo.put:
            await _ask(session, "POST", f"{url}/api/v2/silences", _body(silence))


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """Alertmanager answered no."""


async def _ask(
    session: aiohttp.ClientSession, method: str, url: str, body: dict[str, object] | None = None
) -> bytes:
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        session.request(method, url, json=body, allow_redirects=False) as answer,
    ):
        said = await answer.read()
        if answer.status != 200:
            raise _Refused(
                f"{method} answered {answer.status} {said[:200].decode('utf-8', 'replace')}"
            )
        return said


def _body(silence: Silence) -> dict[str, object]:
    body: dict[str, object] = {
        "matchers": [{"name": "id", "value": silence.incident, "isRegex": False, "isEqual": True}],
        "startsAt": _iso(silence.starts_at),
        "endsAt": _iso(silence.ends_at),
        "createdBy": silence.by,
        "comment": f"{SIGN}: đã tiếp nhận / acknowledged",
    }
    return {**body, "id": silence.id} if silence.id else body


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
