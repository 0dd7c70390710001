"""Media: whether a conference will work, by sending what a conference sends to a reflector.

STAMP (RFC 8762, RFC 8972) in packets of the size and pace of real media. Both directions are
measured apart: the reflector numbers its replies and says at the end what it received.
"""

import asyncio
import socket
import threading
import time
from contextlib import closing
from typing import ClassVar, Literal

from msgspec import Struct

from agent.probes.base import Env, ProbeError, Recorder, Target, Value
from agent.probes.classify import classify
from agent.probes.emodel import CODECS, ECHO_FREE
from agent.probes.media_loss import Loss
from agent.probes.media_quality import quality
from agent.probes.media_sender import NS, Seen, Sender, plan
from agent.probes.media_stats import LATE_SECONDS, Direction, Figures, measure
from agent.probes.net import bound_socket, refuse_host_port, resolve, split_host_port
from agent.wire import STREAMS, Failure, Slot, StreamName

WAYS = ("forward", "backward")
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
LATE_BEGIN_SECONDS = 1.0
"""What a name may take of the guard behind a slot; what it takes beyond, the media loses."""
MAX_LATENESS_SECONDS = 0.005
"""A run whose packets left later than this (99th percentile) measured the PC."""
MAX_CLOCK_STEP_SECONDS = 0.005
_DIRECTION = ("direction", WAYS)
_END = ("end", ("agent", "reflector"))
_ROUND_TOO = ("direction", (*WAYS, "roundtrip"))
_PERCENTILE = ("percentile", tuple(PERCENTILES))
RATED = ("g711", "g711_plc")
"""Codecs of the E-model; any other sound is told by the second, as a reference."""
_MODEL = (("codec", RATED), ("model", (ECHO_FREE,)))


class MediaParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a media test."""

    stream: StreamName = "g711"
    seconds: float = 20.0
    """How long media flows; the check's timeout_seconds must leave 10 s beyond it."""
    shape: Literal["constant", "frames"] = "constant"
    """`frames`: pictures as cameras send them, in bursts, which a shaper treats otherwise."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""

    def __post_init__(self) -> None:
        """Refuse what no session can be."""
        if not 1 <= self.seconds <= 60:
            raise ValueError(f"seconds: found {self.seconds:g}, expected 1 to 60")
        if self.shape == "frames" and not STREAMS[self.stream].frames_per_second:
            raise ValueError(f"shape frames: {self.stream} is sound, which has none")


class Media:
    """Holds one session in the slot that the centre gave, and measures what came back."""

    kind: ClassVar[str] = "media"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = MediaParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "open", "media", "close")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("media_sent_packets_total", "Media packets sent.", counter=True),
        Value(
            "media_received_packets_total", "Different media packets that came back.", counter=True
        ),
        Value("media_duplicates_total", "Copies beyond the first, both ways.", counter=True),
        Value("media_loss_ratio", "Packets lost, of those sent that way.", labels=(_ROUND_TOO,)),
        Value("media_loss_run_max", "Most packets lost in a row.", labels=(_ROUND_TOO,)),
        Value(
            "media_burst_ratio",
            "Mean run of losses against that of loss by chance; absent without loss.",
            labels=(_ROUND_TOO,),
        ),
        Value("media_reordered_ratio", "Packets overtaken (RFC 4737).", labels=(_DIRECTION,)),
        Value(
            "media_jitter_seconds",
            "Interarrival jitter at the end (RFC 3550).",
            labels=(_DIRECTION,),
        ),
        Value(
            "media_pdv_seconds",
            "Delay beyond the fastest packet's (RFC 5481).",
            labels=(_DIRECTION, _PERCENTILE),
        ),
        Value(
            "media_late_ratio",
            "Packets later than a jitter buffer of 60 ms bears.",
            labels=(_DIRECTION,),
        ),
        Value(
            "media_rtt_seconds",
            "Round trip without the reflector's own time.",
            labels=(_PERCENTILE,),
        ),
        Value("media_r_factor", "Rating of a call over this path (ITU-T G.107).", labels=_MODEL),
        Value("media_mos", "Estimated mean opinion score of a call, 1 to 4.5.", labels=_MODEL),
        Value("media_dscp_sent", "Class of service in which the packets left."),
        Value(
            "media_dscp_received",
            "Class of service of most packets as they arrived.",
            labels=(_DIRECTION,),
        ),
        Value("media_path_ttl", "TTL of most packets as they reached the reflector."),
        Value("media_sender_lateness_seconds", "How late packets left, 99th percentile."),
        Value("media_socket_drops", "Packets that a socket lost.", labels=(_END,)),
    )

    def __init__(self, params: MediaParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._stream = STREAMS[params.stream]

    @classmethod
    def refuse_target(cls, name: str, params: MediaParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Hold one session. ProbeError where there is no slot or the PC could not keep the pace."""
        slot = target.slot
        if slot is None:
            raise ProbeError("runs only in a slot that the centre gives")
        begun = time.monotonic()
        host, port = split_host_port(target.name)
        rec.fact("slot", slot.id)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with closing(bound_socket(family, socket.SOCK_DGRAM, target.source)) as sock:
            sock.connect((address, port))
            moments = self._moments(slot, time.monotonic() - begun)
            sender = Sender(sock, self._stream, moments, slot)
            rec.current_phase = "open"
            try:
                figures = await _in_a_thread(sender)
            except asyncio.CancelledError:
                rec.current_phase = "media" if sender.seen.opened else "open"
                raise
        self._judge(sender.seen, figures, rec)

    def _moments(self, slot: Slot, late: float) -> list[int]:
        left = slot.max_seconds - max(0.0, late - LATE_BEGIN_SECONDS)
        moments = plan(
            self._stream,
            seconds=max(0.0, min(self._params.seconds, left)),
            in_frames=self._params.shape == "frames",
            session=slot.session,
        )
        if not moments:
            raise ProbeError(f"the slot was over when the name was resolved, after {late:.1f} s")
        allowed = moments[: slot.max_bytes // self._stream.udp_bytes]
        if not allowed:
            raise ProbeError(f"the slot allows {slot.max_bytes} bytes: not one packet")
        return allowed

    def _judge(self, seen: Seen, figures: Figures, rec: Recorder) -> None:
        if not seen.opened:
            rec.fail(Failure.TIMEOUT, "in phase open: the reflector does not answer")
            return
        rec.add_phase("open", seen.open_seconds)
        rec.add_phase("media", seen.media_seconds)
        rec.add_phase("close", seen.close_seconds)
        rec.current_phase = ""
        rec.value("media_dscp_sent", self._stream.dscp)
        rec.count("media_sent_packets_total", seen.sent)
        rec.count("media_received_packets_total", figures.received)
        _report(figures, rec)
        if not self._stream.frames_per_second:
            _rate(figures, rec)
        _mind_validity(seen, figures, rec)
        if seen.stopped == "broken" and seen.broken_by is not None:
            rec.fail(*classify(seen.broken_by))
        elif seen.stopped == "overload":
            rec.fail(Failure.LOSS, "stopped: of two seconds' packets more than a tenth were lost")
        elif seen.stopped == "unanswered":
            rec.fail(
                Failure.TIMEOUT, f"in phase media: unanswered for 1 s after {seen.sent} packets"
            )
        elif not seen.trips:
            rec.fail(Failure.TIMEOUT, "in phase media: nothing came back")


async def _in_a_thread(sender: Sender) -> Figures:
    """Run a session in a thread of its own; when cancelled, end it and wait those few ms.

    Its figures are reckoned there too: a minute of pictures costs a tenth of a second.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Figures] = loop.create_future()
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def work() -> None:
        try:
            sender.run()
            figures = measure(sender.seen.trips, sender.seen.sent, sender.seen.totals)
        except Exception as exc:  # noqa: BLE001  it flies on where the run is awaited
            loop.call_soon_threadsafe(done.set_exception, exc)
        else:
            loop.call_soon_threadsafe(done.set_result, figures)

    thread = threading.Thread(target=work, name="media", daemon=True)
    thread.start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        sender.halt()
        await asyncio.wait([done])
        raise
    finally:
        thread.join()


def _mind_validity(seen: Seen, figures: Figures, rec: Recorder) -> None:
    """Raise ProbeError where it was not the network that was measured."""
    if seen.stopped == "standstill":
        raise ProbeError("this PC stood still or slept for more than a second meanwhile")
    lateness = sorted(seen.lateness_ns)
    if lateness:
        late = lateness[int(0.99 * (len(lateness) - 1))] / NS
        rec.value("media_sender_lateness_seconds", late)
        if late > MAX_LATENESS_SECONDS:
            raise ProbeError(f"this PC is too busy: packets left {late * 1e3:.0f} ms late")
    theirs = seen.totals.drops if seen.totals else 0
    ours = seen.own_drops + seen.unsent
    rec.value("media_socket_drops", ours, "agent")
    if seen.totals:
        rec.value("media_socket_drops", theirs, "reflector")
    if ours or theirs:
        whose = "this PC" if ours else "the reflector's machine"
        raise ProbeError(f"{whose} is too busy: it lost {ours or theirs} packets itself")
    if abs(seen.clock_step_ns) > MAX_CLOCK_STEP_SECONDS * NS:
        raise ProbeError(f"this PC's clock was set by {seen.clock_step_ns / NS:+.3f} s meanwhile")
    if figures.clock_step_seconds > MAX_CLOCK_STEP_SECONDS:
        raise ProbeError(
            f"the reflector's clock was set by {figures.clock_step_seconds:.3f} s or more meanwhile"
        )


def _report(figures: Figures, rec: Recorder) -> None:
    _report_loss(figures.loss, "roundtrip", rec)
    for way, found in zip(WAYS, (figures.forward, figures.backward), strict=True):
        _report_direction(found, way, rec)
    if figures.rtt is not None:
        for name, percent in PERCENTILES.items():
            rec.value("media_rtt_seconds", figures.rtt.quantile(percent), name)
    if figures.ttl is not None:
        rec.value("media_path_ttl", figures.ttl)


def _rate(figures: Figures, rec: Recorder) -> None:
    for name in RATED:
        found = quality(figures, CODECS[name])
        if found is not None:
            rec.value("media_r_factor", found.r, name, ECHO_FREE)
            rec.value("media_mos", found.mos, name, ECHO_FREE)
            if found.extrapolated:
                rec.fact("mos", "beyond the loss the model was fitted to")


def _report_direction(found: Direction, way: str, rec: Recorder) -> None:
    _report_loss(found.loss, way, rec)
    rec.count("media_duplicates_total", found.duplicates)
    if found.reordered_ratio is not None:
        rec.value("media_reordered_ratio", found.reordered_ratio, way)
    if found.jitter_seconds is not None:
        rec.value("media_jitter_seconds", found.jitter_seconds, way)
    if found.variation is not None:
        for name, percent in PERCENTILES.items():
            rec.value("media_pdv_seconds", found.variation.quantile(percent), way, name)
        rec.value("media_late_ratio", found.variation.share_above(LATE_SECONDS), way)
    if found.dscp is not None:
        rec.value("media_dscp_received", found.dscp, way)


def _report_loss(loss: Loss | None, way: str, rec: Recorder) -> None:
    if loss is None:
        return
    if loss.ratio is not None:
        rec.value("media_loss_ratio", loss.ratio, way)
    else:
        rec.fact(
            f"loss_{way}", f"{loss.least:.4f} to {loss.most:.4f}: the reflector's count is missing"
        )
    if loss.longest_run is not None:
        rec.value("media_loss_run_max", loss.longest_run, way)
    if loss.burst_ratio is not None:
        rec.value("media_burst_ratio", loss.burst_ratio, way)
