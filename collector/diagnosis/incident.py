"""Incident: one cause, from opening to closing."""

from typing import Literal

from msgspec import Struct

from collector.inventory.model import Scope, Series

Cause = Literal["site_silent", "check_down"]
"""site_silent: the PC, its power or all its lines; unknown, not down. check_down: one check fails
at one site, on one target or many."""
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


class Incident(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people are told of, once. Kept as JSON: fields may be added, never change meaning."""

    id: str
    """Never changes, unique over provinces and years, short enough to say over the phone."""
    cause: Cause
    scope: Scope
    severity: Severity
    sites: tuple[str, ...]
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
    ending: Literal["", "recovered", "removed"] = ""
    """removed: what was watched left the inventory."""
    members: tuple[Member, ...] = ()
    facts: dict[str, str] = {}
    """Evidence for people, by short English names."""


class Change(Struct, frozen=True):
    """What one look has changed. Every `opened` is followed by exactly one `closed`."""

    kind: Literal["opened", "changed", "closed"]
    incident: Incident
