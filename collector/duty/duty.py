"""Duty: who is on which open incident, what people do about it, and what is due by the clock.

What a person does counts once it is on disk, and is refused where it cannot be written. What the
centre itself has to do (calling the next route, heeding a maintenance window) counts at once and is
written as soon as the disk lets it: a page must not wait for a disk.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from collector.diagnosis.incident import Incident
from collector.duty.acts import Act, ActError, Standing, check_act, same_person, standing_of
from collector.duty.escalation import Escalation, due, escalation_of
from collector.duty.maintenance import covering
from collector.duty.store import ActStore
from collector.inventory.model import Inventory

LOOK_SECONDS = 1.0
"""What is due by the clock is looked for this often; a new incident is judged at once."""
log = logging.getLogger(__name__)


class Duty:
    """The acts of the open incidents. `known`: those that were open before the start."""

    def __init__(self, store: ActStore, known: Iterable[Incident] = ()) -> None:
        self._store = store
        self._acts = {incident.id: store.of(incident.id) for incident in known}
        self._unsaved: list[Act] = []
        self._one_at_a_time = asyncio.Lock()
        self._failing = False
        self._looked_at = float("-inf")
        self.changed = asyncio.Event()
        """Set when somebody may be on an incident, or no longer; who listens clears it."""

    def of(self, identity: str) -> Sequence[Act]:
        """Return an open incident's acts, oldest first."""
        return tuple(self._acts.get(identity, ()))

    def standing(self, identity: str) -> Standing:
        """Return where an open incident stands."""
        return standing_of(self._acts.get(identity, ()))

    @property
    def acknowledged(self) -> Mapping[str, Act]:
        """The acknowledgements in force, by open incident."""
        found = {identity: standing_of(acts).acknowledged for identity, acts in self._acts.items()}
        return {identity: act for identity, act in found.items() if act is not None}

    @property
    def called(self) -> Mapping[str, tuple[str, ...]]:
        """Whom open incidents were escalated to, tier by tier: keys of on_call."""
        return {
            identity: tuple(act.to for act in acts if act.kind == "escalated")
            for identity, acts in self._acts.items()
        }

    @property
    def standings(self) -> Mapping[str, Standing]:
        """Where every open incident stands."""
        return {identity: standing_of(acts) for identity, acts in self._acts.items()}

    @property
    def escalations(self) -> Mapping[str, Escalation]:
        """How far open incidents were raised; those that never were are not in it."""
        found = {identity: escalation_of(acts) for identity, acts in self._acts.items()}
        return {identity: reached for identity, reached in found.items() if reached is not None}

    def shown(self, incidents: Iterable[Incident]) -> list[Incident]:
        """Return incidents as people are told of them: under maintenance a page is a ticket.

        Only what opened within a window is, and once it is paged it stays so: an alert is known by
        id and severity, so each receiver hears of it once, and once of its end.
        """
        return [self._as_told(incident) for incident in incidents]

    def look(self, incidents: Mapping[str, Incident], inventory: Inventory, now: float) -> bool:
        """Do what is due for the open incidents; True where there is something new to tell."""
        gone = [identity for identity in self._acts if identity not in incidents]
        for identity in gone:
            del self._acts[identity]
        new = [incident for identity, incident in incidents.items() if identity not in self._acts]
        acts = [
            act for incident in new if (act := _begins_in_maintenance(incident, inventory, now))
        ]
        for incident in new:
            self._acts[incident.id] = []
        if abs(now - self._looked_at) >= LOOK_SECONDS:
            self._looked_at = now
            acts += [
                act
                for incident in incidents.values()
                for act in self._due(incident, inventory, now)
            ]
        for act in acts:
            log.info("incident %s id=%s to=%s tier=%d", act.kind, act.incident, act.to, act.tier)
            self._acts[act.incident].append(act)
        self._unsaved += acts
        if gone:
            self.changed.set()
        return bool(acts)

    async def save(self) -> None:
        """Write what the centre did; where the disk refuses, again at the next call."""
        async with self._one_at_a_time:
            acts, self._unsaved = self._unsaved, []
            if not acts:
                return
            try:
                await asyncio.to_thread(self._store.add, acts)
            except (sqlite3.Error, OSError) as exc:
                self._unsaved = [*acts, *self._unsaved]
                if not self._failing:  # the first of a streak
                    log.error("acts cannot be written error=%s", exc)  # noqa: TRY400 - no bug of ours
                self._failing = True
            else:
                self._failing = False

    async def do(self, act: Act, incident: Incident, *, holder: str | None = None) -> None:
        """Let a person act on an incident, open or closed. `holder`: who they saw to be on it.

        ActError where it makes no sense; sqlite3.Error or OSError: not written, so not done.
        """
        async with self._one_at_a_time:
            before = self._acts.get(incident.id)
            if before is None:
                before = await asyncio.to_thread(self._store.of, incident.id)
            check_act(act, before, closed=incident.closed_at is not None, holder=holder)
            await self._write([act])

    async def hand_over(self, wish: Act, incidents: Iterable[Incident]) -> int:
        """Give all open incidents of `wish.who` to `wish.to`; return how many. Errors as in `do`."""
        async with self._one_at_a_time:
            if not wish.who:
                raise ActError("no_name")
            if not wish.to or same_person(wish.who, wish.to):
                raise ActError("no_receiver")
            theirs = [
                replace(wish, incident=incident.id)
                for incident in incidents
                if same_person(self.standing(incident.id).holder, wish.who)
            ]
            if not theirs:
                raise ActError("holds_none")
            await self._write(theirs)
            return len(theirs)

    async def _write(self, acts: Sequence[Act]) -> None:
        await asyncio.to_thread(self._store.add, acts)
        for act in acts:
            if act.incident in self._acts:  # else it closed meanwhile
                self._acts[act.incident].append(act)
            log.info("incident %s id=%s who=%s", act.kind, act.incident, act.who)
        self.changed.set()

    def _due(self, incident: Incident, inventory: Inventory, now: float) -> Iterable[Act]:
        acts = self._acts[incident.id]
        window = standing_of(acts).maintenance
        if window is not None and covering(inventory, incident, now) is None:
            yield Act(
                incident=incident.id,
                at=now,
                kind="maintenance_over",
                text=window.text,
                to=window.to,
            )
        elif (raised := due(incident, acts, inventory, now)) is not None:
            yield raised

    def _as_told(self, incident: Incident) -> Incident:
        window = self.standing(incident.id).maintenance
        if window is None:
            return incident
        facts = {**incident.facts, "maintenance": window.text}
        return replace(incident, severity="ticket", facts=facts)


def _begins_in_maintenance(incident: Incident, inventory: Inventory, now: float) -> Act | None:
    window = covering(inventory, incident, now)
    if window is None:
        return None
    return Act(incident=incident.id, at=now, kind="maintenance", text=window.name.vi, to=window.id)
