"""The contract between agents and their collector.

Imports nothing of ours and does no I/O. Decoding is tolerant: unknown fields are ignored, new
fields have defaults, no field ever changes its type or meaning. What every release has sent is
kept in tests/wire/golden and must decode for ever.
"""

from agent.wire.failure import Failure
from agent.wire.path import ANSWERED, HERE, Hop, Path, Protocol, read_path, write_path
from agent.wire.push import (
    BACKLOG_PRIORITY,
    MAX_BATCH_SAMPLES,
    MAX_PUSH_BYTES,
    MAX_PUSH_INFLATED_BYTES,
    Ack,
    Answer,
    Held,
    LineState,
    PowerState,
    Push,
    Refusal,
    SpoolState,
)
from agent.wire.ranges import Ranges
from agent.wire.sample import EVIDENCE, WIRE_VERSION, Batch, Sample, Stamp, Tally
from agent.wire.slot import Slot
from agent.wire.stream import STREAMS, Stream, StreamName

__all__ = [
    "ANSWERED",
    "BACKLOG_PRIORITY",
    "EVIDENCE",
    "HERE",
    "MAX_BATCH_SAMPLES",
    "MAX_PUSH_BYTES",
    "MAX_PUSH_INFLATED_BYTES",
    "STREAMS",
    "WIRE_VERSION",
    "Ack",
    "Answer",
    "Batch",
    "Failure",
    "Held",
    "Hop",
    "LineState",
    "Path",
    "PowerState",
    "Protocol",
    "Push",
    "Ranges",
    "Refusal",
    "Sample",
    "Slot",
    "SpoolState",
    "Stamp",
    "Stream",
    "StreamName",
    "Tally",
    "read_path",
    "write_path",
]
