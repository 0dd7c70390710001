"""A rehearsal: the bridge loaded on purpose, stage by stage, until it is full or proven. Pure.

Each stage is a share of the sites that are heard, spread over the province, all at the same
instant; the first stage's sites, the canaries, are in every later one. What ends it before its
last stage is its finding: the trunk, the sites, the canaries, or the reflector itself.
"""

import math
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Literal

from msgspec import Struct, field

from agent.wire import Sample
from collector.bridge.slots import Given
from collector.inventory.model import Load, Series, Trunk

TRUNK_LIMIT = 0.8
"""More than this of a trunk is not loaded on purpose."""
FAILED_LIMIT = 0.1
"""A stage with more failed sites than this is not good."""
CANARY_LOSS = 0.005
"""Median loss of the first stage's sites that ends it."""
PATIENCE_SECONDS = 20.0
"""After a run's end its sample comes with the agent's next batch, or not."""

Verdict = Literal["good", "limited", "failed", "silent", "invalid"]
"""silent: no sample came · invalid: the PC could not measure, which says nothing of the network."""
State = Literal["waiting", "running", "over"]
End = Literal["", "done", "trunk", "sites", "unmeasured", "canary", "void", "phase", "aborted"]
"""done: every stage was good · trunk: the next stage would load too much of it · sites: too many
failed · unmeasured: no PC of the stage could measure · canary · void: the reflector's machine lost packets · phase: load is forbidden now."""


class Bounds(Struct, frozen=True):
    """A figure that is more than `good` is limited, more than `limited` failed."""

    good: float
    limited: float


_VIDEO = {"rtt_seconds": Bounds(0.3, 0.5), "jitter_seconds": Bounds(0.02, 0.03)}
_VIDEO["pdv_seconds"] = Bounds(0.05, 0.08)
_SOUND = {**_VIDEO, "loss_ratio": Bounds(0.005, 0.01), "mos": Bounds(-4.02, -3.60)}
ACCEPTANCE: Mapping[str, Mapping[str, Bounds]] = {
    "g711": _SOUND,
    "opus": _SOUND,
    "720p": {**_VIDEO, "loss_ratio": Bounds(0.003, 0.01)},
    "1080p": {**_VIDEO, "loss_ratio": Bounds(0.001, 0.005)},
}
"""By stream, the worse direction counts. A score is better the higher it is: its bounds are
negative. Derived from G.114, G.109 and vendors' figures; R 80 and 70 are a MOS of 4.02 and 3.60."""


class Place(Struct, frozen=True):
    """A site, as a report names it."""

    id: str
    name: str


class Result(Struct, kw_only=True):
    """One site in one stage."""

    site: str
    name: str
    agent: str
    verdict: Verdict
    figures: dict[str, float] = {}
    """What was measured of ACCEPTANCE's figures."""
    why: list[str] = []
    """The figures that were not good, or what the agent says."""


class Stage(Struct, kw_only=True):
    """A part of the sites at once."""

    share: float
    sites: int
    mbit_s: float
    begins: float | None = None
    """None: not run."""
    good: bool | None = None
    canary_loss: float | None = None
    results: list[Result] = []


class Report(Struct, kw_only=True):
    """How a rehearsal stands, and what it found."""

    id: str
    check: str
    stream: str
    trunk: str
    trunk_mbit_s: float
    began_at: float
    ended_at: float | None = None
    state: State = "waiting"
    end: End = ""
    stages: list[Stage] = field(default_factory=list)
    capacity_sites: int = 0
    """Of the last good stage."""
    capacity_mbit_s: float = 0.0
    most_sites: int
    """More the trunk cannot bear, by its own figure."""


class Start(Struct, frozen=True):
    """What is to be started together."""

    runs: tuple[Series, ...]


class Rehearsal:
    """One rehearsal from the first stage to its finding. Times are the centre's UTC seconds."""

    def __init__(
        self,
        runs: Mapping[Place, Series],
        load: Load,
        trunk: Trunk,
        shares: list[float],
        now: float,
    ) -> None:
        """Take one run for each site, in the order in which stages take them."""
        self._runs = runs
        self._load = load
        check = next(iter(runs.values())).check
        self.report = Report(
            id=f"{check}-{int(now)}",
            check=check,
            stream=load.stream,
            trunk=load.trunk,
            trunk_mbit_s=trunk.mbit_s,
            began_at=now,
            most_sites=most_sites(trunk, load),
        )
        self.report.stages = planned(len(runs), load, shares)
        self._stage = 0
        self._asked: dict[str, Series] = {}
        self._answers: dict[str, Result] = {}
        self._drops = 0.0
        self._ends = 0.0

    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.report.state == "over"

    def step(self, now: float, *, free: bool, allowed: bool) -> Start | None:
        """Go on by the clock; return what is to be given slots now, all for the same instant.

        `free`: nobody has a slot on the trunk. `allowed`: the phase lets such runs begin.
        """
        if self.report.state == "running":
            answered = len(self._answers) == len(self._asked)
            if now >= self._ends + PATIENCE_SECONDS or (answered and now >= self._ends):
                self._judge(now)
        if self.report.state != "waiting":
            return None
        stage = self.report.stages[self._stage]
        if not allowed:
            self._finish("phase", now)
        elif stage.sites > self.report.most_sites:
            self._finish("trunk", now)
        elif free:
            return Start(tuple(self._runs.values())[: stage.sites])
        return None

    def started(self, given: Iterable[Given]) -> None:
        """Hear which slots were given for what `step` asked."""
        given = list(given)
        self._asked = {one.id: one.series for one in given}
        self._answers = {}
        self._ends = max(one.ends for one in given)
        self.report.stages[self._stage].begins = given[0].begins
        self.report.state = "running"

    def take(self, agent: str, sample: Sample) -> None:
        """Take the sample of a run; those of other slots are not ours."""
        slot = sample.facts.get("slot", "")
        series = self._asked.get(slot)
        if series is None or series != Series(agent, sample.check, sample.target, sample.line):
            return
        self._drops += sample.values.get("media_socket_drops.reflector", 0)
        self._answers[slot] = judged(self._place(series), series.agent, self._load.stream, sample)

    def abort(self, now: float) -> None:
        """End it by a person's word."""
        if not self.is_over():
            if self.report.state == "running":
                self.report.stages[self._stage].results = self._results()
            self._finish("aborted", now)

    def _place(self, series: Series) -> Place:
        return next(place for place, run in self._runs.items() if run == series)

    def _results(self) -> list[Result]:
        return [
            self._answers.get(slot) or _result(self._place(series), series.agent, "silent")
            for slot, series in self._asked.items()
        ]

    def _judge(self, now: float) -> None:
        stage = self.report.stages[self._stage]
        stage.results = self._results()
        first = list(self._runs)[: self.report.stages[0].sites]
        canaries = {place.id for place in first}
        losses = [
            result.figures["loss_ratio"]
            for result in stage.results
            if result.site in canaries and "loss_ratio" in result.figures
        ]
        stage.canary_loss = median(losses) if losses else None
        measured = [result for result in stage.results if result.verdict != "invalid"]
        failed = [result for result in measured if result.verdict in {"failed", "silent"}]
        end: End = ""
        if self._drops:
            end = "void"
        elif stage.canary_loss is not None and stage.canary_loss > CANARY_LOSS:
            end = "canary"
        elif not measured:
            end = "unmeasured"
        elif len(failed) > FAILED_LIMIT * len(stage.results):
            end = "sites"
        stage.good = not end
        if end == "void":
            self.report.capacity_sites, self.report.capacity_mbit_s = 0, 0.0
        elif not end:
            self.report.capacity_sites, self.report.capacity_mbit_s = stage.sites, stage.mbit_s
        self._stage += 1
        if end or self._stage == len(self.report.stages):
            self._finish(end or "done", now)
        else:
            self.report.state = "waiting"

    def _finish(self, end: End, now: float) -> None:
        self.report.state, self.report.end, self.report.ended_at = "over", end, now


def planned(sites: int, load: Load, shares: Iterable[float]) -> list[Stage]:
    """Return the stages that shares of so many sites make."""
    counts = ((share, math.ceil(share * sites - 1e-9)) for share in sorted(set(shares)))
    return [
        Stage(share=share, sites=count, mbit_s=round(count * load.bits_per_second / 1e6, 3))
        for share, count in counts
    ]


def most_sites(trunk: Trunk, load: Load) -> int:
    """Return how many sites may load a trunk at once on purpose."""
    return math.floor(TRUNK_LIMIT * trunk.bits_per_second / load.bits_per_second + 1e-9)


def judged(place: Place, agent: str, stream: str, sample: Sample) -> Result:
    """Judge one sample by ACCEPTANCE."""
    if sample.error:
        return _result(place, agent, "invalid", None, [sample.error])
    figures = figures_of(sample)
    if sample.failure:
        why = f"{sample.failure}: {sample.detail}".removesuffix(": ")
        return _result(place, agent, "failed", figures, [why])
    verdict: Verdict = "good"
    not_good = []
    for name, bounds in ACCEPTANCE[stream].items():
        if name not in figures:
            continue
        found = -figures[name] if bounds.good < 0 else figures[name]
        if found > bounds.good:
            not_good.append(name)
            verdict = "failed" if found > bounds.limited or verdict == "failed" else "limited"
    return _result(place, agent, verdict, figures, not_good)


def _result(
    place: Place,
    agent: str,
    verdict: Verdict,
    figures: Mapping[str, float] | None = None,
    why: Iterable[str] = (),
) -> Result:
    return Result(
        site=place.id,
        name=place.name,
        agent=agent,
        verdict=verdict,
        figures=dict(figures or {}),
        why=list(why),
    )


def figures_of(sample: Sample) -> dict[str, float]:
    """Return what a media sample says of ACCEPTANCE's figures, the worse direction of each."""

    def of(prefix: str, suffix: str = "") -> list[float]:
        return [
            number
            for key, number in sample.values.items()
            if key.startswith(f"{prefix}.") and key.endswith(suffix)
        ]

    losses = of("media_loss_ratio", "ward") or of("media_loss_ratio")
    found = {
        "loss_ratio": max(losses, default=None),
        "rtt_seconds": sample.values.get("media_rtt_seconds.p95"),
        "jitter_seconds": max(of("media_jitter_seconds"), default=None),
        "pdv_seconds": max(of("media_pdv_seconds", ".p99"), default=None),
        "mos": min(of("media_mos"), default=None),
    }
    return {name: number for name, number in found.items() if number is not None}
