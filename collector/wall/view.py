"""The overview of a province: the fleet and the open incidents, put into words. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from collector.diagnosis.evidence import BEFORE_SECONDS
from collector.diagnosis.incident import Incident
from collector.duty.acts import Standing
from collector.inventory.model import Inventory, Profile, Site
from collector.state.fleet import Fleet
from collector.state.states import BELOW_SERVICE
from collector.wall import forms
from collector.wall.causes import Trouble, scope, sentence, title, troubles
from collector.wall.evidence import address_of
from collector.wall.locale import TEXTS
from collector.wall.locale.texts import Texts
from collector.wall.names import abbreviated, full_name, is_commune, roomy_name, short_name
from collector.wall.page import (
    Card,
    Count,
    Group,
    Limits,
    Overview,
    Phase,
    Piece,
    SystemCount,
    Tile,
)
from collector.wall.standing import address, taken, waits
from collector.wall.systems import system_counts

ALWAYS_COUNTED = ("ok", "silent", "down", "degraded")
"""The other states only where there are any: a quiet day shows no idle words."""
COUNTED = (*ALWAYS_COUNTED, "never", "closed")
LAYERS = ("nic", "gateway", "line", "internet", "tslcd")
"""Lowest first: the lowest that is broken explains the others."""
CARDS_ON_WALL = 4
CARDS_ELSEWHERE = 8
SYSTEMS_ON_WALL = 10
SYSTEMS_ON_CALM_WALL = 24
"""Where no incident needs the room."""
WALL_ROWS = 17
"""Rows of tiles that fit a screen of 16:9."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page is made of."""

    inventory: Inventory
    fleet: Fleet
    now: float
    texts: Texts

    def at(self, moment: float) -> str:
        """Write when something was."""
        return forms.moment(moment, self.now, self.inventory.time_zone)


def overview(
    inventory: Inventory,
    fleet: Fleet,
    incidents: Iterable[Incident],
    now: float,
    lang: str,
    *,
    evidence: Mapping[tuple[str, str], float] | None = None,
    standings: Mapping[str, Standing] | None = None,
    loading: bool = False,
) -> Overview:
    """Say how the province is at a moment (centre's UTC seconds), in one of `TEXTS`' languages.

    `evidence`: when the newest is from, by agent and check. `standings`: where people's acts leave incidents, by id. `loading`: the collector has just started and does not know everything again.
    """
    texts, zone = TEXTS[lang], inventory.time_zone
    scene = Scene(inventory, fleet, now, texts)
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    offset = local.utcoffset()
    shown = list(incidents)
    found = troubles(shown, inventory, fleet.sites)
    communes = [site for site in inventory.sites.values() if is_commune(site)]
    states = Counter(str(fleet.sites[site.id].state) for site in communes)
    tally = {state: states[state] for state in COUNTED}
    pieces, proof = sentence(found, tally, inventory, now, texts)
    if loading:
        pieces, proof = (Piece(texts.loading),), ""
    groups = _groups(scene)
    systems = system_counts(inventory, fleet.series, fleet.agents, lang)
    systems_on_wall = SYSTEMS_ON_WALL if found else SYSTEMS_ON_CALM_WALL
    heard = [agent.heard_at for agent in fleet.agents.values() if agent.heard_at is not None]
    return Overview(
        lang=lang,
        now=now,
        zone=offset.total_seconds() if offset else 0.0,
        heard=max(heard, default=None),
        limits=limits(inventory.profile_at(local)),
        clock=forms.clock(now, zone),
        date=forms.date(now, zone, texts),
        title=_title(scene, tally, sum(waits(one.id, standings or {}) for one in shown)),
        province=texts.province.format(name=getattr(inventory.name, lang)),
        phase=_phase(scene),
        sentence=pieces,
        proof=proof,
        region=texts.communes_region.format(n=len(communes)),
        tally=tuple(
            Count(state, n, texts.states[state])
            for state, n in tally.items()
            if n or state in ALWAYS_COUNTED
        ),
        show_all=_filled(texts.show_all, tally["ok"]),
        groups=groups,
        columns=columns(groups),
        incidents_title=_filled(texts.incidents, len(shown)) if shown else texts.no_incidents,
        cards=_cards(scene, found, evidence or {}, standings or {}),
        cards_on_wall=CARDS_ON_WALL,
        more_on_wall=_more(len(found) - CARDS_ON_WALL, texts),
        more_elsewhere=_more(len(found) - CARDS_ELSEWHERE, texts),
        systems=systems,
        systems_on_wall=systems_on_wall,
        more_systems=_more_systems(systems[systems_on_wall:], texts),
    )


def limits(profile: Profile) -> Limits:
    """Return a page's patience: 3 s and 10 s where agents push each second, 30 s and 60 s at most."""
    late = min(max(3 * profile.batch_seconds, 3.0), 30.0)
    return Limits(late, min(max(10 * profile.batch_seconds, 10.0), 60.0))


def columns(groups: Sequence[Group]) -> int | None:
    """Return how many tiles must stand in a row for all to fit a wall; None if it cannot be."""
    cells = [1 + len(group.tiles) * (2 if group.wide else 1) for group in groups]
    return next((n for n in (10, 11) if sum(-(-cell // n) for cell in cells) <= WALL_ROWS), None)


def _title(scene: Scene, tally: Mapping[str, int], incidents: int) -> str:
    texts = scene.texts
    title = texts.title.format(
        name=getattr(scene.inventory.name, texts.lang), ok=tally["ok"], n=sum(tally.values())
    )
    return texts.unacknowledged_title.format(n=incidents, title=title) if incidents else title


def _groups(scene: Scene) -> tuple[Group, ...]:
    """Lay the tiles out in the order of the files: a place never moves."""
    texts = scene.texts
    communes: dict[str, list[Site]] = {}
    others: list[Site] = []
    for site in scene.inventory.sites.values():
        group = communes.setdefault(site.former_province, []) if is_commune(site) else others
        group.append(site)
    broken = _broken_layers(scene)
    if len(communes) > 1:
        groups = [
            _group(scene, title, sites, broken, note=texts.former)
            for title, sites in communes.items()
        ]
    else:  # a province that was not merged has no former ones
        groups = [_group(scene, texts.no_former, sites, broken) for sites in communes.values()]
    if others:
        groups.append(_group(scene, texts.other_places, others, broken, wide=True))
    return tuple(groups)


def _group(
    scene: Scene,
    title: str,
    sites: Sequence[Site],
    broken: Mapping[str, str],
    *,
    note: str = "",
    wide: bool = False,
) -> Group:
    ok = sum(scene.fleet.sites[site.id].state == "ok" for site in sites)
    return Group(
        title=title,
        note=note,
        count=scene.texts.group_count.format(ok=ok, n=len(sites)),
        tiles=tuple(_tile(scene, site, broken.get(site.id, "")) for site in sites),
        wide=wide,
    )


def _broken_layers(scene: Scene) -> Mapping[str, str]:
    """Return the lowest layer that is broken, by site."""
    lowest: dict[str, str] = {}
    for series, state in scene.fleet.down.items():
        layer = scene.inventory.checks[series.check].layer
        if layer in BELOW_SERVICE:
            lowest[state.site] = min(layer, lowest.get(state.site, layer), key=LAYERS.index)
    return lowest


def _tile(scene: Scene, site: Site, broken_layer: str) -> Tile:
    now, texts = scene.fleet.sites[site.id], scene.texts
    word = texts.states[now.state]
    if now.state == "down":
        word = texts.broken_layers[broken_layer][0] if broken_layer else word
    if now.state == "closed":
        word += " " + scene.at(now.since)
    return Tile(
        id=site.id,
        short=short_name(site, texts),
        roomy=roomy_name(site, texts),
        full=full_name(site, texts),
        state=now.state,
        word=forms.joined(word),
        since=now.since if now.state in {"down", "degraded", "silent"} else None,
    )


def _phase(scene: Scene) -> Phase | None:
    """Return the phase that is on, else the next one."""
    texts = scene.texts
    for phase in sorted(scene.inventory.phases.values(), key=lambda phase: phase.begins):
        begins, ends = phase.begins.timestamp(), phase.ends.timestamp()
        if scene.now < ends:
            ahead = scene.now < begins
            text = (texts.coming if ahead else texts.running).format(at=scene.at(begins))
            before, _, after = text.partition("[]")
            return Phase(getattr(phase.name, texts.lang), before, after, begins, ahead)
    return None


def _cards(
    scene: Scene,
    found: Sequence[Trouble],
    evidence: Mapping[tuple[str, str], float],
    standings: Mapping[str, Standing],
) -> tuple[Card, ...]:
    """Lay out the causes: most places first, then the oldest. The newest that waits calls."""
    said = {
        trouble: taken(trouble.incidents, standings, scene.at, scene.texts.lang)
        for trouble in found
    }
    newest = max(
        (trouble.opened_at for trouble in found if not said[trouble]), default=scene.now + 1
    )
    ordered = sorted(found, key=lambda trouble: (-len(trouble.sites), trouble.since))
    return tuple(
        Card(
            state=trouble.state,
            since=trouble.since,
            at=scene.at(trouble.since),
            what=title(trouble, scene.inventory, scene.texts),
            scope=scope(trouble, scene.inventory, scene.texts),
            owner=abbreviated(trouble.owner),
            last=(
                "" if trouble.together else scene.texts.last_since.format(at=scene.at(trouble.last))
            ),
            newest=trouble.opened_at == newest and not said[trouble],
            evidence=_evidence(trouble, evidence, scene.texts.lang),
            url=address(trouble.incidents, scene.texts.lang),
            taken=said[trouble],
        )
        for trouble in ordered[:CARDS_ELSEWHERE]
    )


def _evidence(trouble: Trouble, evidence: Mapping[tuple[str, str], float], lang: str) -> str:
    """Return the page of the first evidence that belongs to it; others are named there."""
    begin = trouble.since - BEFORE_SECONDS
    for series in trouble.series:
        if evidence.get((series.agent, series.check), float("-inf")) >= begin:
            return address_of(series.agent, series.check, lang)
    return ""


def _more(n: int, texts: Texts) -> str:
    return _filled(texts.more_causes, n) if n > 0 else ""


def _more_systems(left_out: Sequence[SystemCount], texts: Texts) -> str:
    if not left_out:
        return ""
    failing = any(system.failing for system in left_out)
    return _filled(texts.more_systems if failing else texts.more_good_systems, len(left_out))


def _filled(text: str, n: int) -> str:
    return forms.plural(text, n).format(n=n)
