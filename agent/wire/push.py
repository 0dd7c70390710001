"""Push and Answer: one exchange between an agent and the collector.

`POST /api/v1/batches`, gzip'd JSON. The push itself is made afresh for every sending and says how
the agent is *now*; the batches inside are the bytes of the spool, untouched. A push without
batches is a heartbeat: it has no sequence number and leaves no trace in the journal.
"""

from typing import Literal

from msgspec import Raw, Struct

from agent.wire.sample import Stamp
from agent.wire.slot import Slot

MAX_BATCH_SAMPLES = 2_000
MAX_PUSH_BYTES = 1 << 20
MAX_PUSH_INFLATED_BYTES = 8 << 20
BACKLOG_PRIORITY = "u=7"
"""The header `Priority` (RFC 9218) of a push that can wait: its batches are history."""


class Held(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The batches of one boot that the agent still has to hand over."""

    boot: str
    sealed: int = 0
    """The highest number given out so far; 0 for an earlier boot, of which only `pending` is known."""
    pending: list[tuple[int, int]] = []
    """Inclusive ranges of sequence numbers, ascending, not touching."""


class SpoolState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What waits on the agent's disk, and what never will arrive."""

    pending_batches: int = 0
    pending_bytes: int = 0
    oldest_pending_ms: int | None = None
    """Wall time of the oldest waiting batch; None when nothing waits."""
    dropped_batches: int = 0
    """Given up since the spool was made, by age or size."""
    damaged_records: int = 0
    set_aside_batches: int = 0
    """Refused by the collector for good and kept on the agent's disk."""
    failing: str = ""
    """Why the disk takes nothing (samples go through memory only); "" when it does."""
    held: list[Held] = []
    """The running boot, then each other that has something left: what is neither here nor
    acknowledged is lost. [] from agents that do not tell."""


class LineState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line as the uplink sees it."""

    last_success_ms: int | None = None
    failing: str = ""
    """Why the last push over this line failed; "" when it went through."""


class PowerState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Mains and battery; absent fields are not known here."""

    on_mains: bool | None = None
    battery_ratio: float | None = None


class Push(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the agent says of itself, and the batches it hands over."""

    v: int
    agent: str
    boot: str
    machine_boot: str
    sent: Stamp
    anchor: float | None = None
    """The centre's UTC seconds when this machine's monotonic clock read 0, learned from answers."""
    anchor_error: float | None = None
    """Half the round trip behind `anchor`, seconds: the true value lies within ± this."""
    synchronised: bool = False
    config: int = 0
    config_error: str = ""
    """Why the newest configuration was refused; "" when it is in force."""
    program: str = ""
    via: str = ""
    """Name of the line this push was sent over; "" where the system chose the route."""
    spool: SpoolState = SpoolState()
    lines: dict[str, LineState] = {}
    power: PowerState | None = None
    bye: Literal["", "shutdown", "upgrade"] = ""
    """Said once on an orderly stop: the silence that follows is meant."""
    batches: list[Raw] = []


class Ack(Struct, frozen=True, kw_only=True):
    """Everything of one boot that is fsynced at the centre."""

    boot: str
    ranges: list[tuple[int, int]]
    """Inclusive ranges of sequence numbers, ascending, not touching."""


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The collector's 200."""

    v: int
    received_at: float
    """Centre's UTC seconds when the push had arrived whole."""
    answered_at: float
    acks: list[Ack] = []
    """One for each boot whose batches came in this push."""
    config: int = 0
    """Newest configuration version for this agent; fetch it when it differs."""
    slots: list[Slot] = []
    """Those of this agent that begin soon."""


class Refusal(Struct, frozen=True, kw_only=True):
    """The body of every 4xx and 503 of the collector. An answer without it is some proxy's."""

    error: str
    """One sentence for people: what is wrong, where, what was expected."""
    code: str
    """For programs: unauthorised, revoked, malformed, too_large, too_many, wrong_agent, not_found, busy."""
