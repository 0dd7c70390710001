"""ICMP: whether echoes come back, how many, and how long they take."""

from itertools import pairwise
from math import sqrt
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from agent.probes.base import Env, Recorder, Source, Target, Value
from agent.probes.echo import Burst, EchoEngine
from agent.probes.net import refuse_host, resolve
from agent.wire import Failure


class IcmpParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an ICMP probe.

    An attempt lasts at most (count - 1) * spacing_seconds + wait_seconds: 1.4 s by default. A
    check's timeout_seconds must leave it that long.
    """

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    count: Annotated[int, Meta(ge=1, le=10)] = 3
    """Echoes per attempt: one lost packet is no outage, and jitter needs two neighbours at least."""
    spacing_seconds: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.2
    """Between echoes: apart enough not to share one drop of a full queue."""
    wait_seconds: Annotated[float, Meta(ge=0.1, le=5.0)] = 1.0
    """For the last answer: beyond twice the 400 ms that ITU-T G.114 allows one way."""
    size_bytes: Annotated[int, Meta(ge=16, le=1400)] = 56
    """Data per echo; 56 makes packets of 84 bytes over IPv4."""
    max_loss_ratio: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    """More loss than this is a failure; losing all is one in any case."""


class Icmp:
    """Sends a short burst of echo requests and waits for their answers."""

    kind: ClassVar[str] = "icmp"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = IcmpParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "setup", "rtt")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("icmp_packets_sent_total", "Echo requests sent.", counter=True),
        Value("icmp_packets_received_total", "Echo requests answered in time.", counter=True),
        Value("icmp_packets_duplicate_total", "Answers that came twice.", counter=True),
        Value(
            "icmp_packets_late_total",
            "Answers that came after their attempt had counted them as lost.",
            counter=True,
        ),
        Value("icmp_loss_ratio", "Share of this attempt's echo requests without an answer."),
        Value("icmp_duration_rtt_min_seconds", "Shortest round trip of this attempt."),
        Value("icmp_duration_rtt_avg_seconds", "Mean round trip; also the phase rtt."),
        Value("icmp_duration_rtt_max_seconds", "Longest round trip of this attempt."),
        Value(
            "icmp_duration_rtt_stddev_seconds",
            "Standard deviation of this attempt's round trips; absent for a single one.",
        ),
        Value(
            "icmp_jitter_seconds",
            "Mean absolute difference of the round trips of neighbouring echoes.",
        ),
        Value("icmp_reply_hop_limit", "Hop limit (TTL) left in the latest answer."),
    )

    def __init__(self, params: IcmpParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: IcmpParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Send one burst. What came back before a deadline is reported even when that cuts in."""
        params = self._params
        address = await resolve(self._env, target.name, params.ip_version, rec)
        with rec.phase("setup"):
            engine = self._engine(6 if ":" in address else 4, target.source)
            engine.open()
        burst = Burst(
            address, params.count, params.spacing_seconds, params.wait_seconds, params.size_bytes
        )
        rec.current_phase = "rtt"
        try:
            await engine.exchange(burst)
        finally:
            _report(burst, rec)
        rec.current_phase = ""
        _judge(burst, params.max_loss_ratio, rec)

    def _engine(self, ip_version: int, source: Source | None) -> EchoEngine:
        """Return the engine of a line: all checks share it, so that one wake serves them all."""
        line = f" {source.interface} {source.address}" if source else ""
        return self._env.keep(f"icmp{ip_version}{line}", lambda: EchoEngine(ip_version, source))


def _report(burst: Burst, rec: Recorder) -> None:
    """Record what was counted and measured; what was not measured stays absent."""
    rec.count("icmp_packets_sent_total", len(burst.sent))
    rec.count("icmp_packets_received_total", len(burst.rtts))
    rec.count("icmp_packets_duplicate_total", burst.duplicates)
    rec.count("icmp_packets_late_total", burst.late)
    if burst.sent:
        rec.value("icmp_loss_ratio", 1 - len(burst.rtts) / len(burst.sent))
    if not burst.rtts:
        return
    rtts = list(burst.rtts.values())
    mean = sum(rtts) / len(rtts)
    rec.add_phase("rtt", mean)
    rec.value("icmp_duration_rtt_min_seconds", min(rtts))
    rec.value("icmp_duration_rtt_avg_seconds", mean)
    rec.value("icmp_duration_rtt_max_seconds", max(rtts))
    if len(rtts) > 1:
        variance = sum((rtt - mean) ** 2 for rtt in rtts) / len(rtts)
        rec.value("icmp_duration_rtt_stddev_seconds", sqrt(variance))
    in_order = [burst.rtts.get(sequence) for sequence in burst.sent]
    steps = [
        abs(after - before)
        for before, after in pairwise(in_order)
        if before is not None and after is not None
    ]
    if steps:
        rec.value("icmp_jitter_seconds", sum(steps) / len(steps))
    if burst.hop_limit is not None:
        rec.value("icmp_reply_hop_limit", burst.hop_limit)


def _judge(burst: Burst, max_loss_ratio: float, rec: Recorder) -> None:
    sent, lost = len(burst.sent), len(burst.sent) - len(burst.rtts)
    if burst.rtts:
        if lost / sent > max_loss_ratio:
            allowed = f"{max_loss_ratio:.0%} allowed"
            rec.fail(Failure.LOSS, f"{lost} of {sent} echoes lost, {allowed}")
    elif burst.refusals:
        refusal = next(iter(burst.refusals.values()))
        rec.fail(refusal.failure, refusal.detail)
    elif burst.mangled:
        rec.fail(Failure.MALFORMED, "the data came back changed")
    else:
        rec.fail(Failure.TIMEOUT, f"no answer to {sent} echoes")
