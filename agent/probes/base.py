"""What every probe is given and what it must be. No protocol is known here."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from agent.wire import Failure, Slot

T = TypeVar("T")


class ProbeError(Exception):
    """Nothing could be measured, and it is our fault: no permission, no such interface."""


class TargetError(Exception):
    """The target did not do it, seen where no Recorder is at hand: a word, and a detail."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Value:
    """One row of what a probe may report. The metric's name is `probe_` + name."""

    name: str
    help: str
    counter: bool = False
    """Counted per attempt with `Recorder.count`; the runner keeps the total since boot."""
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Labels of the metric and the closed list of each one's words: one number for each
    combination, recorded as `name.word.word`."""

    def keys(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Return each number's key in a sample -> the labels and words of its metric."""
        found: dict[str, tuple[tuple[str, str], ...]] = {self.name: ()}
        for label, words in self.labels:
            found = {
                f"{key}.{word}": (*known, (label, word))
                for key, known in found.items()
                for word in words
            }
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """Where packets of a bound attempt must leave: an address of ours, an interface, or both."""

    address: str = ""
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured, as configured, and the line it is measured over."""

    name: str
    line: str = ""
    source: Source | None = None
    slot: Slot | None = None
    """The centre's leave, for the kinds of BY_SLOT."""


class Recorder:
    """Collects what one attempt saw; what was recorded before a failure stays."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self.phases: dict[str, float] = {}
        self.values: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        self.facts: dict[str, str] = {}
        self.failure: Failure | None = None
        self.detail = ""
        self.current_phase = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of the attempt; parts of one name add up (redirects).

        An exception leaves no time behind (a phase that did not end was not measured) but
        `current_phase` keeps its name, so that the failure can say where it happened.
        """
        self.current_phase = name
        begun = self._monotonic_ns()
        yield
        self.add_phase(name, (self._monotonic_ns() - begun) / 1e9)
        self.current_phase = ""

    def add_phase(self, name: str, seconds: float) -> None:
        """Add a duration that was measured elsewhere, as by the kernel's receive stamps."""
        self.phases[name] = self.phases.get(name, 0.0) + seconds

    def value(self, name: str, number: float, *words: str) -> None:
        """Report a number of this attempt under one of the probe's `values`, by its labels' words."""
        self.values[".".join((name, *words))] = number

    def count(self, name: str, number: float) -> None:
        """Add to one of the probe's counters."""
        self.counts[name] = self.counts.get(name, 0) + number

    def fact(self, name: str, text: str) -> None:
        """Keep a short text for people; never becomes a metric label."""
        self.facts[name] = text[:200]

    def fail(self, failure: Failure, detail: str = "") -> None:
        """Say what the target did wrong. The first word stands: later ones are its consequences."""
        if self.failure is None:
            self.failure = failure
            self.detail = detail[:300]


class Resolve(Protocol):
    """Asks the system for the addresses of a name, as any program of the PC would."""

    def __call__(self, host: str, ip_version: int) -> Awaitable[list[str]]:
        """Return addresses of the IP version 4, 6 or 0 (any, system's order); OSError if none."""
        ...


@dataclass(slots=True)
class Health:
    """What the agent's parts know of themselves and their PC, for each other to report."""

    runs: int = 0
    runs_missed: int = 0
    """Were due while the same run was still under way, or while the PC slept."""
    runs_busy: int = 0
    """Of these: the run before was still under way."""
    runs_stalled: int = 0
    """Of these: the program stood still."""
    samples_lost: int = 0
    """Measured, and come to no batch."""
    schedule_lag_seconds: float = 0.0
    """How late the latest slot began."""
    state_directory: str = "/"
    clock_offset_seconds: float | None = None
    """What the newest time server that answered makes of the PC's clock: positive is behind."""
    clock_measured_at: float = 0.0
    """CLOCK_BOOTTIME seconds of that."""

    def note_clock(self, offset_seconds: float) -> None:
        """Take down what a time server has just said."""
        self.clock_offset_seconds = offset_seconds
        self.clock_measured_at = time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Env:
    """What probes use of the world. Tests put their own in."""

    resolve: Resolve
    health: Health = field(default_factory=Health)
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], float] = time.time
    _kept: dict[str, Any] = field(default_factory=dict)

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """Return the one object of this name that all probes share, made on first use.

        It may have a `close()`, called when the agent ends. `make` is called again after it raised.
        """
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept

    def close(self) -> None:
        """Close what was kept."""
        for kept in self._kept.values():
            close = getattr(kept, "close", None)
            if close is not None:
                close()
        self._kept.clear()


class Probe(Protocol):
    """Measures one protocol. One object per check, used for all its targets and attempts."""

    kind: ClassVar[str]
    """Config key, metric part and module name are this one word."""
    version: ClassVar[int]
    Params: ClassVar[type]
    """Frozen msgspec Struct, `forbid_unknown_fields`; defaults here; units in the names."""
    values: ClassVar[tuple[Value, ...]]
    phases: ClassVar[tuple[str, ...]]

    def __init__(self, params: Any, env: Env) -> None: ...

    @classmethod
    def refuse_target(cls, name: str, params: Any) -> str:
        """Return what was expected of a configured target's text, or "" when it is fine."""
        ...

    async def run(self, target: Target, rec: Recorder) -> None:
        """Measure once. No retry, no sleep beyond the protocol's own pacing, no total timing.

        A target that is down is a recorded failure: `rec.fail(...)` and return. Raise ProbeError
        only if nothing could be measured. Let OSError, TimeoutError and ssl.SSLError fly: the
        runner classifies them and keeps the phases recorded so far. Never swallow CancelledError:
        the runner owns the deadline and cancels.
        """
        ...
