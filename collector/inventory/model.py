"""A province as values: what the folder says, after it was found to be without mistakes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from agent.config import AgentConfig

Scope = Literal["site", "central", "external"]
Layer = Literal["nic", "gateway", "line", "internet", "tslcd", "dns", "service"]


class Frozen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read from a file: strict, never changed."""


class Text(Frozen):
    """A name in both languages."""

    vi: str
    en: str


class Carrier(Frozen):
    """Who runs a line, and addresses of its own to tell its fault from others'."""

    name: str
    anchors: list[str] = []


class System(Frozen):
    """A thing people name."""

    name: Text
    owner: str
    scope: Scope


class Phase(Frozen):
    """A part of the event: from, to (not included), and the profile in force."""

    name: Text
    begins: datetime
    ends: datetime
    profile: str


class Profile(Frozen):
    """Rates and patience of a phase."""

    batch_seconds: float
    silent_after_seconds: float
    """An agent not heard for this long is silent."""
    interval_factor: float = 1.0
    """Every check's interval is multiplied by this."""


class Site(Frozen):
    """A commune (id: its official 5-digit code) or another place of the province."""

    id: str
    name: str
    kind: str
    """xã, phường, or what other place it is."""
    former_province: str
    lat: float | None
    lon: float | None
    agents: tuple[str, ...]
    contact_name: str = ""
    contact_phone: str = ""


class SiteLine(Frozen):
    """One carrier connection of a site."""

    site: str
    name: str
    carrier: str
    kind: Literal["ftth", "tslcd", "4g"]
    contracted_mbit_s: float | None
    select: Literal["source", "interface", "anchor", "none"]
    source: str = ""
    interface: str = ""
    anchor: str = ""


class Device(Frozen):
    """What stands in an office."""

    site: str
    id: str
    kind: str
    address: str


class CheckInfo(Frozen):
    """What people need to know of a check, whoever runs it."""

    id: str
    system: str
    layer: Layer
    kind: str
    name: Text


class Series(Struct, frozen=True):
    """One thing measured from one place: the key of live state. All four are inventory words."""

    agent: str
    check: str
    target: str
    line: str


class Inventory(Struct, frozen=True, kw_only=True):
    """A whole province. Mappings are in the order of the files."""

    id: str
    """The folder's name: `phu-tho`."""
    name: Text
    time_zone: ZoneInfo
    carriers: Mapping[str, Carrier]
    systems: Mapping[str, System]
    phases: Mapping[str, Phase]
    profiles: Mapping[str, Profile]
    default_profile: str
    sites: Mapping[str, Site]
    lines: Mapping[str, tuple[SiteLine, ...]]
    """By site."""
    devices: Mapping[str, tuple[Device, ...]]
    """By site."""
    checks: Mapping[str, CheckInfo]
    site_of_agent: Mapping[str, str]
    configs: Mapping[str, AgentConfig]
    """By agent, for the default profile; `version` is 0 here, the collector numbers them."""
    subjects: Mapping[Series, str]
    """Every series that can exist -> the site it speaks about: the agent's own site, or for a
    `for_each: sites` check of a central agent the site whose system is watched."""
    series_of_agent: Mapping[str, tuple[Series, ...]]
    interval_of: Mapping[Series, float]
    """Seconds between two runs, by the default profile."""

    def profile_at(self, now: datetime) -> Profile:
        """Return the profile in force at a moment (aware datetime)."""
        for phase in self.phases.values():
            if phase.begins <= now < phase.ends:
                return self.profiles[phase.profile]
        return self.profiles[self.default_profile]


class RawCheck(Frozen):
    """One entry of checks.yml, as written."""

    id: str
    name: Text
    system: str
    layer: Layer
    kind: str
    targets: list[str]
    params: dict[str, Any] = {}
    interval_seconds: float
    timeout_seconds: float = 5.0
    agents: dict[str, list[str]] = {}
    """Selector, every key must match; {} = every agent of a commune."""
    line: str = "any"
    """`any` (the system chooses the route), `each` selectable line, or a line's name."""
    for_each: Literal["", "sites"] = ""
    expect: Literal["reachable", "unreachable"] = "reachable"
