"""Rehearsals of the running centre: one at a time, driven by the beat, kept in a folder."""

import logging
import os
from collections.abc import Container
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.wire import Sample
from collector.bridge.rehearsal import Place, Rehearsal, Report, Stage, most_sites, planned
from collector.bridge.slots import REHEARSAL, Given, Slots
from collector.inventory.model import Inventory, Load, Series
from collector.inventory.problems import known

log = logging.getLogger(__name__)


class RehearsalError(Exception):
    """What was asked for cannot be; the message is for people."""


class Plan(Struct, kw_only=True):
    """What a rehearsal would load, before it does."""

    check: str
    stream: str
    seconds: float
    trunk: str
    trunk_mbit_s: float
    most_sites: int
    sites: int
    """Those that are heard now."""
    silent: list[str]
    """Sites that are not heard: they take no part."""
    thin: list[str]
    """Sites whose line would be loaded by more than half of its contract."""
    stages: list[Stage]


class Rehearsals:
    """Plans, starts, drives and keeps rehearsals. Times are the centre's UTC seconds."""

    def __init__(self, slots: Slots, inventory: Inventory, folder: Path) -> None:
        self._slots = slots
        self._inventory = inventory
        self._folder = folder
        self._current: Rehearsal | None = None
        self._given: list[Given] = []
        self._load: Load | None = None

    @property
    def report(self) -> Report | None:
        """The latest rehearsal since the start of this process."""
        return self._current.report if self._current else None

    def reload(self, inventory: Inventory) -> None:
        """Take another inventory; what is under way ends by the one it began with."""
        self._inventory = inventory

    def plan(self, check: str, shares: list[float], live: Container[str], now: float) -> Plan:
        """Return what would be loaded. RehearsalError where it cannot be."""
        places, load, silent = self._runs(check, live)
        trunk = self._inventory.trunks[load.trunk]
        if not shares or not all(0 < share <= 1 for share in shares):
            raise RehearsalError("stages: expected percentages from 1 to 100, such as 10,25,50,100")
        if not self._slots.has_secret:
            raise RehearsalError("collector.yml has no bridge: secret_file, so nothing is leased")
        if not self._is_allowed(load, now):
            raise RehearsalError("the phase, now or about to begin, has load_tests: none")
        if not places:
            raise RehearsalError(f"no site that runs check {check!r} is heard now")
        borne = {series.agent for series in self._slots.in_order(check)}
        thin = {
            self._inventory.site_of_agent[series.agent]
            for series in self._inventory.loads
            if series.check == check and series.agent not in borne
        }
        return Plan(
            check=check,
            stream=load.stream,
            seconds=load.seconds,
            trunk=load.trunk,
            trunk_mbit_s=trunk.mbit_s,
            most_sites=most_sites(trunk, load),
            sites=len(places),
            silent=silent,
            thin=sorted(thin),
            stages=planned(len(places), load, shares),
        )

    def start(self, check: str, shares: list[float], live: Container[str], now: float) -> Report:
        """Begin. RehearsalError where it cannot be, or one is under way."""
        if self._current and not self._current.is_over():
            raise RehearsalError(f"rehearsal {self._current.report.id} is under way")
        self.plan(check, shares, live, now)
        places, self._load, _ = self._runs(check, live)
        trunk = self._inventory.trunks[self._load.trunk]
        self._current = Rehearsal(places, self._load, trunk, shares, now)
        self._given = []
        self._slots.held = True
        log.info("rehearsal begins id=%s sites=%d", self._current.report.id, len(places))
        return self._current.report

    def abort(self, now: float) -> Report | None:
        """End what is under way: no further slot is told."""
        if self._current and not self._current.is_over():
            self._slots.withdraw(self._given)
            self._current.abort(now)
            self._end()
        return self.report

    def tick(self, now: float) -> None:
        """Go on by the clock; to be called after the table of slots had its tick."""
        current = self._current
        if current is None or current.is_over() or self._load is None:
            return
        start = current.step(
            now, free=self._slots.is_clear(now), allowed=self._is_allowed(self._load, now)
        )
        if start is not None:
            begins = now + self._slots.lead_seconds
            runs = [series for series in start.runs if series in self._inventory.loads]
            if not runs:  # another inventory came meanwhile
                self.abort(now)
                return
            self._given = [self._slots.give(series, begins, kind=REHEARSAL) for series in runs]
            current.started(self._given)
            log.info("rehearsal stage id=%s sites=%d", current.report.id, len(self._given))
        if current.is_over():
            self._end()

    def take(self, agent: str, sample: Sample) -> None:
        """Take a live sample of a run in a slot."""
        if self._current and not self._current.is_over():
            self._current.take(agent, sample)

    def _runs(
        self, check: str, live: Container[str]
    ) -> tuple[dict[Place, Series], Load, list[str]]:
        """Return one run for each site that is heard, in order; the load; the silent sites."""
        inventory = self._inventory
        media = {series.check for series, load in inventory.loads.items() if load.stream}
        if check not in media:
            raise RehearsalError(f"check {check!r} is no media test; {known(check, sorted(media))}")
        runs: dict[str, Series] = {}
        silent: dict[str, None] = {}
        for series in self._slots.in_order(check):
            site = inventory.site_of_agent[series.agent]
            if series.agent in live:
                runs.setdefault(site, series)
            else:
                silent[site] = None
        load = next(load for series, load in inventory.loads.items() if series.check == check)
        places = {Place(site, inventory.sites[site].name): run for site, run in runs.items()}
        return places, load, sorted(silent.keys() - runs.keys())

    def _is_allowed(self, load: Load, now: float) -> bool:
        """Whether no phase until a stage's end forbids all load: what is thick may be, it is meant."""
        begins = now + self._slots.lead_seconds
        return self._slots.is_allowed(msgspec.structs.replace(load, sound=True), begins)

    def _end(self) -> None:
        self._slots.held = False
        if self._current:
            report = self._current.report
            log.info(
                "rehearsal over id=%s end=%s sites=%d", report.id, report.end, report.capacity_sites
            )
            try:
                self._save(report)
            except OSError as exc:
                log.error("rehearsal cannot be kept id=%s error=%s", report.id, exc)  # noqa: TRY400 - no bug of ours

    def _save(self, report: Report) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{report.id}.json"
        beside = path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(report)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
