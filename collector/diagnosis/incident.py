"""Incident: one cause, from opening to closing."""

from typing import Literal

from msgspec import Struct

from collector.inventory.model import Scope, Series

Cause = Literal[
    "site_silent",
    "mass_silence",
    "carrier_outage",
    "power_outage",
    "collector_blind",
    "lan_down",
    "line_down",
    "line_degraded",
    "tslcd_outage",
    "dns_broken",
    "dns_hijack",
    "captive_portal",
    "mtu_blackhole",
    "clock_wrong",
    "system_down",
    "system_slow",
    "system_unreachable_from_site",
    "vc_degraded",
    "certificate",
    "external",
    "check_down",
]
"""site_silent: the PC, its power or all its lines; unknown, not down. check_down: a check fails and
no rule knows why. The others are as in the glossary."""
Severity = Literal["page", "ticket"]


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One series that failed, with what it failed of first."""

    series: Series
    since: float
    """Time of its first failing attempt."""
    failure: str
    detail: str = ""
    up_at: float | None = None
    """Time of its first good attempt afterwards; None while it fails or is unknown."""


class Sign(Struct, frozen=True):
    """What shows a trouble and is no series."""

    kind: Literal["silent", "clock", "poor"]
    """silent: a site is not heard · clock: an agent's is wrong · poor: what is slow, not broken."""
    subject: str
    """A site, an agent, or what is poor."""


class Mark(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sign, and when it went away."""

    sign: Sign
    site: str
    since: float
    up_at: float | None = None
    """None while it lasts or is unknown."""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened to an incident."""

    at: float
    """Centre's time."""
    kind: Literal["opened", "widened", "narrowed", "understood", "closed"]
    """understood: it has another cause now."""
    cause: Cause
    sites: int
    """How many it was about from then on."""


class Incident(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people are told of, once. Kept as JSON: fields may be added, never change meaning."""

    id: str
    """Never changes, unique over provinces and years, short enough to say over the phone."""
    cause: Cause
    scope: Scope
    severity: Severity
    sites: tuple[str, ...]
    """Those it is about now; once it is closed, all that it ever was about."""
    key: str = ""
    """What of the province it is about, within its cause: a carrier, a system, a site's line."""
    carrier: str = ""
    """A key of carriers; "" where several or none are meant."""
    area: str = ""
    """A former province; "" where several are meant."""
    line: str = ""
    """A line's name, of a single site."""
    check: str = ""
    system: str = ""
    owner: str = ""
    """Who has to act; "" where the cause does not tell yet."""
    since: float
    """When the trouble began at the place itself: first failing attempt, last sign of life."""
    opened_at: float
    """Centre's time of the decision."""
    closed_at: float | None = None
    """When the trouble ended at the place itself."""
    ending: Literal["", "recovered", "removed", "merged"] = ""
    """removed: what was watched left the inventory · merged: it went on as part of another one."""
    flapping: bool = False
    """Whether it comes and goes; it stays open until it has been good for long enough."""
    members: tuple[Member, ...] = ()
    marks: tuple[Mark, ...] = ()
    """What shows it beside its members."""
    life: tuple[Step, ...] = ()
    """The newest of what happened to it, oldest first."""
    facts: dict[str, str] = {}
    """Evidence for people, by short English names."""


class Change(Struct, frozen=True):
    """What one look has changed. Every `opened` is followed by exactly one `closed`."""

    kind: Literal["opened", "changed", "closed"]
    incident: Incident
