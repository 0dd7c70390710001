"""province.yml: names, carriers, systems, phases and whom to call."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from agent.config import ID
from collector.inventory.limits import mistakes_of_limits
from collector.inventory.loads import host_of
from collector.inventory.model import (
    Carrier,
    Day,
    OfficeHours,
    Phase,
    Profile,
    Route,
    System,
    Text,
    Trunk,
)
from collector.inventory.problems import WORD, known
from collector.inventory.yamltext import Document

Network = IPv4Network | IPv6Network
SECTIONS = ("carriers", "systems", "trunks", "phases", "profiles", "on_call")


class RawHours(Struct, frozen=True, kw_only=True):
    """Office hours, as written: spans such as `07:30-11:30`."""

    days: list[Day]
    spans: list[str]


class RawProvince(Struct, frozen=True, kw_only=True):
    """province.yml, as written."""

    name: Text
    time_zone: str
    carriers: dict[str, Carrier]
    systems: dict[str, System]
    trunks: dict[str, Trunk] = {}
    phases: dict[str, Phase] = {}
    profiles: dict[str, Profile]
    default_profile: str
    office_hours: RawHours | None = None
    on_call: dict[str, Route] = {}


@dataclass(frozen=True, slots=True)
class Province:
    """province.yml, checked. Broken entries of its sections are left out."""

    raw: RawProvince
    time_zone: ZoneInfo
    phases: dict[str, Phase]
    office_hours: OfficeHours | None
    named: Mapping[str, list[str]]
    """Keys of each section, also of broken entries: naming those elsewhere is no second mistake."""


def read_province(document: Document) -> Province | None:
    """Check the document as a province; None where too little of it is there to go on."""
    named = {section: document.keys_at(section) for section in SECTIONS}
    raw = document.read(RawProvince)
    if raw is None:
        return None
    for path, problem in _mistakes(raw, named):
        document.note(path, problem)
    zone = _zone(raw.time_zone)
    if zone is None:
        document.note(
            "time_zone", f"found {raw.time_zone!r}, expected one such as Asia/Ho_Chi_Minh"
        )
        zone = ZoneInfo("UTC")
    phases = {name: _in_zone(phase, zone) for name, phase in raw.phases.items()}
    for path, problem in _mistakes_of_phases(phases):
        document.note(path, problem)
    return Province(raw, zone, phases, _office_hours(raw.office_hours, document), named)


def _mistakes(raw: RawProvince, named: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    for section, keys in named.items():
        for key in keys:
            if not ID.fullmatch(key):
                yield f"{section}.{key}", f"the key is {key!r}, expected {WORD}"
    names = {"name": raw.name}
    for section, entries in (
        ("systems", raw.systems),
        ("trunks", raw.trunks),
        ("phases", raw.phases),
        ("on_call", raw.on_call),
    ):
        names |= {f"{section}.{key}.name": entry.name for key, entry in entries.items()}
    for path, text in names.items():
        if not (text.vi and text.en):
            yield path, "expected text in both languages"
    for name, carrier in raw.carriers.items():
        for anchor in carrier.anchors:
            if not _is_address(anchor):
                yield f"carriers.{name}.anchors", f"found {anchor!r}, expected IP addresses"
    yield from _mistakes_of_networks(raw.carriers)
    for name, route in raw.on_call.items():
        yield from _mistakes_of_route(name, route, raw.on_call, named["on_call"])
    for name, profile in raw.profiles.items():
        yield from _mistakes_of_profile(f"profiles.{name}", profile)
    yield from mistakes_of_trunks(raw.trunks)
    yield from _unknown_names(raw, named)


def _mistakes_of_networks(carriers: Mapping[str, Carrier]) -> Iterator[tuple[str, str]]:
    """Yield networks that are none, and those of two carriers: an address must tell one carrier."""
    known: list[tuple[str, Network]] = []
    for name, carrier in carriers.items():
        path = f"carriers.{name}.networks"
        for text in carrier.networks:
            try:
                network = ip_network(text)
            except ValueError:
                yield path, f"found {text!r}, expected networks such as 203.0.113.0/24"
                continue
            for other, taken in known:
                if other != name and network.version == taken.version and network.overlaps(taken):
                    yield path, f"{text!r} overlaps {str(taken)!r} of {other}"
            known.append((name, network))


def _unknown_names(raw: RawProvince, named: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    routes = {f"carriers.{name}": carrier.route for name, carrier in raw.carriers.items()}
    routes |= {f"systems.{name}": system.route for name, system in raw.systems.items()}
    for path, route in routes.items():
        if route and route not in named["on_call"]:
            yield f"{path}.route", f"found {route!r}; {known(route, named['on_call'])}"
    profiles = {"default_profile": raw.default_profile}
    profiles |= {f"phases.{name}.profile": phase.profile for name, phase in raw.phases.items()}
    for path, profile in profiles.items():
        if profile not in named["profiles"]:
            yield path, f"found {profile!r}; {known(profile, named['profiles'])}"


def _mistakes_of_route(
    name: str, route: Route, routes: Mapping[str, Route], named: list[str]
) -> Iterator[tuple[str, str]]:
    path = f"on_call.{name}"
    if bool(route.escalate_to) != (route.escalate_after_seconds is not None):
        yield path, "escalate_to and escalate_after_seconds belong together"
    if route.escalate_to and route.escalate_to not in named:
        yield (
            f"{path}.escalate_to",
            f"found {route.escalate_to!r}; {known(route.escalate_to, named)}",
        )
    if route.escalate_after_seconds is not None and route.escalate_after_seconds <= 0:
        found = f"found {route.escalate_after_seconds:g}"
        yield f"{path}.escalate_after_seconds", f"{found}, expected more than 0"
    way = [name]
    while (next_ := routes.get(way[-1])) and next_.escalate_to and next_.escalate_to not in way:
        way.append(next_.escalate_to)
    if next_ and next_.escalate_to == name:
        yield f"{path}.escalate_to", f"goes in a circle: {' > '.join([*way, name])}"


def _mistakes_of_profile(path: str, profile: Profile) -> Iterator[tuple[str, str]]:
    if not 0.5 <= profile.batch_seconds <= 60:
        yield f"{path}.batch_seconds", f"found {profile.batch_seconds:g}, expected 0.5 to 60"
    elif profile.silent_after_seconds < 2 * profile.batch_seconds:
        found = f"found {profile.silent_after_seconds:g}"
        wanted = f"{2 * profile.batch_seconds:g} or more, so that one late push is no alarm"
        yield f"{path}.silent_after_seconds", f"{found}, expected {wanted}"
    if not is_factor(profile.interval_factor):
        yield f"{path}.interval_factor", f"found {profile.interval_factor:g}, expected 0.1 to 100"
    yield from mistakes_of_limits(f"{path}.limits", profile.limits)


def mistakes_of_trunks(trunks: Mapping[str, Trunk]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with trunks: their key path and what was expected."""
    behind: dict[str, str] = {}
    for name, trunk in trunks.items():
        path = f"trunks.{name}"
        if not 0.1 <= trunk.mbit_s <= 1_000_000:
            yield f"{path}.mbit_s", f"found {trunk.mbit_s:g}, expected 0.1 to 1000000"
        if not 0 < trunk.share <= 1:
            yield f"{path}.share", f"found {trunk.share:g}, expected more than 0, at most 1"
        if not trunk.hosts:
            yield f"{path}.hosts", "found none, expected the hosts behind this trunk"
        for host in trunk.hosts:
            if host_of(host) != host:
                yield f"{path}.hosts", f"found {host!r}, expected a name or address, small letters"
            elif host in behind:
                yield f"{path}.hosts", f"{host!r} lies behind {behind[host]!r} already"
            behind.setdefault(host, name)


def is_factor(factor: float) -> bool:
    """Whether intervals may be multiplied by this."""
    return 0.1 <= factor <= 100


def _mistakes_of_phases(phases: Mapping[str, Phase]) -> Iterator[tuple[str, str]]:
    for name, phase in phases.items():
        if phase.ends <= phase.begins:
            yield f"phases.{name}.ends", f"{phase.ends} is not after begins, {phase.begins}"
    in_order = sorted(phases.items(), key=lambda item: item[1].begins)
    for (before, earlier), (name, later) in pairwise(in_order):
        if later.begins < earlier.ends and earlier.begins < earlier.ends:
            yield (
                f"phases.{name}.begins",
                f"{later.begins} is before phase {before} ends, {earlier.ends}",
            )


def _in_zone(phase: Phase, zone: ZoneInfo) -> Phase:
    return msgspec.structs.replace(
        phase, begins=_aware(phase.begins, zone), ends=_aware(phase.ends, zone)
    )


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return a moment in the province's time: what is written without a zone is meant so."""
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _office_hours(raw: RawHours | None, document: Document) -> OfficeHours | None:
    if raw is None:
        return None
    spans = []
    for written in raw.spans:
        first, _, last = written.partition("-")
        begins, ends = _time(first), _time(last)
        if begins is None or ends is None or begins >= ends:
            document.note(
                "office_hours.spans", f"found {written!r}, expected such as '07:30-11:30'"
            )
            continue
        spans.append((begins, ends))
    return OfficeHours(days=tuple(raw.days), spans=tuple(spans))


def _time(text: str) -> time | None:
    try:
        found = time.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if found.tzinfo else found


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no such name, a folder's name, no name at all
        return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
