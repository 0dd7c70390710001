"""Batches and other records of the wire as an agent makes them, for tests."""

from agent.wire import WIRE_VERSION, Batch, Sample, Stamp

BOOT = "0123456789abcdef" * 2
OLD_BOOT = "fedcba9876543210" * 2
MACHINE_BOOT = "00112233445566778899aabbccddeeff"
WALL_MS = 1_750_000_000_000


def make_batch(
    *,
    boot: str = BOOT,
    agent: str = "08545",
    samples: int = 1,
    wall_ms: int = WALL_MS,
    ran_ms: int | None = None,
    synchronised: bool = True,
    detail: str = "",
) -> Batch:
    """Return a batch before the spool has numbered it.

    `ran_ms`: by the clock that never steps, since WALL_MS; None: the wall clock did not step.
    """
    ran = wall_ms - WALL_MS if ran_ms is None else ran_ms
    return Batch(
        v=WIRE_VERSION,
        agent=agent,
        boot=boot,
        machine_boot=MACHINE_BOOT,
        seq=0,
        sealed=Stamp(wall_ms=wall_ms, mono_ns=1_000_000_000 + ran * 1_000_000),
        synchronised=synchronised,
        config=7,
        program="0.1.0",
        samples=[make_sample(number, detail) for number in range(samples)],
    )


def make_sample(number: int = 0, detail: str = "") -> Sample:
    """Return a sample like those of an HTTP check."""
    return Sample(
        check="portal",
        target=f"https://portal-{number}.example/",
        kind="http",
        version=1,
        start=Stamp(wall_ms=WALL_MS, mono_ns=990_000_000 + number),
        duration=0.123456,
        phases={"resolve": 0.001, "connect": 0.02, "tls": 0.05, "transfer": 0.01},
        values={"http_status_code": 200},
        counters={"all_success_count": 10 + number, "all_success_sum": 10 + number},
        facts={"address": "192.0.2.7"},
        detail=detail,
    )
