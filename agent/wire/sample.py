"""Sample and Batch: what was measured, and the envelope that gives it its identity."""

from msgspec import Struct

WIRE_VERSION = 1
EVIDENCE = "evidence"
"""Kind of the sample that tells, in `facts`, how things stood when a check went down.

It bears the failed attempt's check, target, line and failure, and is no attempt itself: it counts
neither for nor against the target.
"""


class Stamp(Struct, frozen=True, kw_only=True):
    """One moment, read off both clocks of the machine."""

    wall_ms: int
    """UTC milliseconds since 1970 by the machine's own clock, right or wrong."""
    mono_ns: int
    """CLOCK_BOOTTIME nanoseconds: never steps, counts through sleep, starts anew at each boot."""


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of one attempt.

    `failure` None and `error` "" mean that the target did what was asked. `error` says why
    nothing could be measured: then the sample is no statement about the target.
    A time or value that was not measured is absent, never 0.
    """

    check: str
    target: str
    line: str = ""
    """Name of the line the attempt was bound to; "" where the system chose the route."""
    kind: str
    version: int
    """Version of the probe: raised when *what is measured* changes."""
    start: Stamp
    duration: float
    phases: dict[str, float] = {}
    """Seconds per named part of the attempt."""
    values: dict[str, float] = {}
    counters: dict[str, float] = {}
    """Totals since the agent's boot, counted when measured: late data never fakes a reset."""
    facts: dict[str, str] = {}
    """Short texts for people and evidence (the address used, a redirect), never metric labels."""
    failure: str | None = None
    """A value of `Failure`; a later agent may send a word this side does not know."""
    detail: str = ""
    error: str = ""
    attempt: int = 1
    """1 for a run of the schedule, 2 and up for the fast re-probes that follow a change."""

    @property
    def up(self) -> bool | None:
        """Whether the target did its part; None where nothing could be measured."""
        return None if self.error else self.failure is None


class Tally(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was not measured, and why: totals since the agent's program began."""

    busy: int = 0
    """Runs that were due while the one before was still under way."""
    stalled: int = 0
    """Runs that were due while the program stood still: a PC too busy, or held up."""
    lost: int = 0
    """Samples that came to no batch: the disk hung for too long."""
    slept: float = 0.0
    """Seconds the machine was suspended, since it was switched on."""


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Samples committed to the spool together.

    (agent, boot, seq, index in `samples`) is a sample's identity. It is fixed with the bytes of
    the batch before the first sending; a retry is the same bytes.
    """

    v: int
    agent: str
    boot: str
    """One run of the agent's program: 32 hex digits."""
    machine_boot: str
    """One run of the machine: monotonic stamps are comparable within it."""
    seq: int
    """1, 2, 3 … within the boot, without holes."""
    sealed: Stamp
    synchronised: bool
    """Whether the kernel called the wall clock synchronised when the batch was sealed."""
    config: int
    """Version of the configuration in force, 0 before the first."""
    program: str
    samples: list[Sample]
    ntp_offset: float | None = None
    """Seconds: a time server's clock less this PC's, by the newest answer to an `ntp` check.
    Evidence only; the collector corrects times by what it learned itself."""
    ntp_age: float | None = None
    """Seconds from that answer until the batch was sealed."""
    tally: Tally | None = None
    """As it stood when the batch was sealed; None from agents that do not count."""
