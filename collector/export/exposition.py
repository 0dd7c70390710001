"""The text pages: `/metrics/live` (small, scraped each second) and `/metrics`.

An open incident is two series without timestamps, on both pages, and more where others are called:

    thongsuot_incident{id,severity,route,carrier,area,phase,cause,scope,site,check,system} 1
    thongsuot_incident_info{id,title,where,since,owner,sites,sentence,sms,url} 1
    thongsuot_incident_escalated{id,severity,tier,route} 1        each tier reached: 1, 2 …
    thongsuot_incident_reassigned{id,severity,route,carrier} 1    another has to act than was thought

`id` never changes and is unique over provinces and years. `severity` is `page` or `ticket`; it
changes only where the page must take another way. `route`, `carrier`, `area` and `phase` are as
they were when the incident was opened (diagnosis/routing.py). So an alert is known by these; all
else may change while the incident is open (a cause is understood better, another place joins).
`site`, `check` and `system` are left out where there is no single one. `title`, `where`, `owner`,
`sentence` and `sms` are texts for people in the collector's language, `since` local time in words,
`sites` how many it has been about at most: places come back one by one, and the close of a page has
what was told last.

A rule must bear two variants of one incident: when Prometheus is restarted while a label changes,
the old series gets no stale marker and is found for five minutes more. Blanking the labels alone
(`labels: {cause: ''}`) then fails the whole rule ("vector contains metrics with the same labelset
after applying alert labels"), and with it every page: aggregate by id, as the rules in
configs/prometheus do.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from collector.diagnosis import words
from collector.diagnosis.incident import Incident
from collector.diagnosis.routing import routing
from collector.diagnosis.sms import sms
from collector.diagnosis.words import Language
from collector.export import families
from collector.export.families import Family
from collector.export.fragments import Fragments, labels
from collector.inventory.model import Inventory
from collector.state.fleet import Fleet
from collector.wall.addresses import incident_url

SHARED_SECONDS = 1.0
"""Scrapes of `/metrics` that come this close together get the same page."""
AGENTS_AT_A_TIME = 50
"""Rendered before the loop gets its turn again: some milliseconds."""
INCIDENT_FAMILIES = (
    families.INCIDENT,
    families.INCIDENT_INFO,
    families.INCIDENT_ESCALATED,
    families.INCIDENT_REASSIGNED,
)


class _Told(NamedTuple):
    """What was made of an incident, and of what."""

    inventory: Inventory
    incident: Incident
    called: tuple[str, ...]
    rows: tuple[list[str], ...]
    """By INCIDENT_FAMILIES."""


class Exposition:
    """The pages of one fleet. `own` gives the collector's own metrics.

    `url` is the wall's address, `language` that of the texts.

    Without `measured`, `probe_*` goes another way: one series must have one writer.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        url: str = "",
        language: Language = "vi",
        own: Callable[[], bytes] = bytes,
        measured: bool = True,
    ) -> None:
        self._fleet = fleet
        self._url = url
        self._language: Language = language
        self._own = own
        self._incidents = b""
        self._told: dict[str, _Told] = {}
        self._measured = measured
        self._fragments = Fragments(fleet, measured=measured)
        self._static = _static(fleet.inventory, language)
        self._one_at_a_time = asyncio.Lock()
        self._page: list[bytes] = []
        self._zipped = b""
        self._page_until = 0.0

    def show(self, incidents: Iterable[Incident], called: Mapping[str, Sequence[str]] = {}) -> None:
        """Take the open incidents, after they were saved: what is told survives a restart.

        `called`: whom an incident was escalated to, tier by tier, as routes, by its id.
        """
        told = {
            incident.id: self._tell(incident, tuple(called.get(incident.id, ())))
            for incident in incidents
        }
        self._told = told
        rows = [one.rows for one in told.values()]
        self._incidents = b"".join(
            line
            for number, family in enumerate(INCIDENT_FAMILIES)
            for line in _block(family, (row for of_one in rows for row in of_one[number]))
        )

    def _tell(self, incident: Incident, called: tuple[str, ...]) -> _Told:
        """Put an incident into words again only where something of it has changed."""
        inventory, known = self._fleet.inventory, self._told.get(incident.id)
        if known and known.inventory is inventory and known[1:3] == (incident, called):
            return known
        rows = (
            [_incident(incident)],
            [_in_words(incident, inventory, self._url, self._language)],
            list(_escalated(incident, called)),
            list(_reassigned(incident, inventory)),
        )
        return _Told(inventory, incident, called, rows)

    def live(self, now: float) -> bytes:
        """Return `/metrics/live`."""
        return b"".join(self._live(now))

    async def full(self, now: float) -> bytes:
        """Return `/metrics`; the loop gets its turn while many agents are rendered."""
        async with self._one_at_a_time:
            return b"".join(await self._blocks(now))

    async def full_gzip(self, now: float) -> bytes:
        """Return `/metrics`, compressed in a thread."""
        async with self._one_at_a_time:
            blocks = await self._blocks(now)
            if not self._zipped:
                self._zipped = await asyncio.to_thread(_compress, blocks)
            return self._zipped

    def _live(self, now: float) -> Iterator[bytes]:
        up, seen = [families.SITE_UP.head.decode()], [families.SITE_LAST_SEEN.head.decode()]
        for site, state in self._fleet.sites.items():
            if state.contact in {"live", "silent"}:
                up.append(f'thongsuot_site_up{{site="{site}"}} {int(state.contact == "live")}\n')
            if state.last_seen is not None:
                seen.append(
                    f'{families.SITE_LAST_SEEN.name}{{site="{site}"}} {state.last_seen:.3f}\n'
                )
        yield "".join((*up, *seen)).encode()
        yield families.CHECK_UP.head
        yield from self._current().checks_up(now)
        yield self._incidents

    async def _blocks(self, now: float) -> list[bytes]:
        if self._page_until > now >= self._page_until - SHARED_SECONDS:
            return self._page
        fragments = self._current()
        for number, agent in enumerate(list(self._fleet.agents), 1):
            fragments.render(agent)
            if number % AGENTS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        dropped = f"{families.DROPPED.name} {fragments.dropped_values}\n".encode()
        page = [*self._live(now), self._static, self._own(), families.DROPPED.head, dropped]
        for family in families.MEASURED.values():
            page += fragments.block(family)
            await asyncio.sleep(0)
        self._page, self._zipped, self._page_until = page, b"", now + SHARED_SECONDS
        return page

    def _current(self) -> Fragments:
        """Begin anew when the inventory was reloaded."""
        if self._fragments.inventory is not self._fleet.inventory:
            self._fragments = Fragments(self._fleet, measured=self._measured)
            self._static = _static(self._fleet.inventory, self._language)
        return self._fragments


def _static(inventory: Inventory, language: Language) -> bytes:
    """Return the series that join names to ids."""
    sites = (
        labels(site=site.id, name=site.name, kind=site.kind, former_province=site.former_province)
        for site in inventory.sites.values()
    )
    lines = (
        labels(site=line.site, line=line.name, carrier=line.carrier, kind=line.kind)
        for of_site in inventory.lines.values()
        for line in of_site
    )
    checks = (
        labels(
            check=check.id,
            name=getattr(check.name, language),
            system=check.system,
            layer=check.layer,
            kind=check.kind,
            scope=inventory.systems[check.system].scope,
            owner=inventory.systems[check.system].owner,
        )
        for check in inventory.checks.values()
    )
    return b"".join(
        (
            *_block(families.SITE_INFO, sites),
            *_block(families.LINE_INFO, lines),
            *_block(families.CHECK_INFO, checks),
        )
    )


def _block(family: Family, rows: Iterable[str]) -> Iterator[bytes]:
    yield family.head
    for row in rows:
        yield f"{family.name}{{{row}}} 1\n".encode()


def _incident(incident: Incident) -> str:
    return labels(
        id=incident.id,
        severity=incident.severity,
        **incident.routing,
        cause=incident.cause,
        scope=incident.scope,
        site=incident.sites[0] if len(incident.sites) == 1 else "",
        check=incident.check,
        system=incident.system,
    )


def _in_words(incident: Incident, inventory: Inventory, url: str, language: Language) -> str:
    url = incident_url(url, incident.id) if url else ""
    return labels(
        id=incident.id,
        title=getattr(words.title(incident, inventory), language),
        where=getattr(words.where(incident, inventory), language),
        since=words.local_time(incident.since, inventory),
        owner=words.owner(incident, inventory),
        sites=str(max([len(incident.sites), *(step.sites for step in incident.life)])),
        sentence=getattr(words.sentence(incident, inventory), language),
        sms=sms(incident, inventory, url, language),
        url=url,
    )


def _escalated(incident: Incident, called: Iterable[str]) -> Iterator[str]:
    """Yield every tier reached, not only the last: what was called before must not be closed."""
    for tier, route in enumerate(called, 1):
        yield labels(id=incident.id, severity=incident.severity, tier=str(tier), route=route)


def _reassigned(incident: Incident, inventory: Inventory) -> Iterator[str]:
    """Yield whom it is known to be by now, where somebody else was paged."""
    now = routing(incident, inventory)
    if incident.routing and now["route"] not in {"", incident.routing["route"]}:
        yield labels(
            id=incident.id,
            severity=incident.severity,
            route=now["route"],
            carrier=now["carrier"],
        )


def _compress(blocks: Iterable[bytes]) -> bytes:
    """Return one gzip stream; zlib lets the other threads run meanwhile."""
    gzip = zlib.compressobj(level=1, wbits=31)
    return b"".join((*(gzip.compress(block) for block in blocks), gzip.flush()))
