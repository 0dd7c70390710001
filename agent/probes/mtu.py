"""Path MTU: how large a packet gets through to a host and back, and whether larger ones vanish."""

import socket
from contextlib import suppress
from errno import EMSGSIZE
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from agent.probes.base import Env, Recorder, Source, Target, TargetError, Value
from agent.probes.echo import Burst, EchoEngine
from agent.probes.icmp_message import EXTENDED_ERR, HEADER_BYTES, V4, V6, TooBig, Version
from agent.probes.icmp_socket import PMTUDISC_PROBE
from agent.probes.net import bound_socket, refuse_host, resolve
from agent.wire import Failure

# IP packets of lines as they are: Ethernet, PPPoE, tunnels, mobile, and the least QUIC wants.
LADDER = (1200, 1280, 1300, 1350, 1380, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500)
SMALL_DATA_BYTES = 56
TRIES = 3
DISCARD_PORT = 9
HUGE_DATA_BYTES = 65507  # the most that fits UDP
ORIGIN_LOCAL = 1  # SO_EE_ORIGIN_LOCAL


class MtuParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a path MTU probe.

    An attempt lasts at most 17 times wait_seconds, where all large packets vanish: 8.5 s by default.
    A check's timeout_seconds must leave it that long. Where all pass it lasts two round trips.
    """

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    wait_seconds: Annotated[float, Meta(ge=0.1, le=5.0)] = 0.5
    """For each answer: longer than the line's longest round trip."""


class Mtu:
    """Sends echoes that must not be cut: a small one, the largest, then whatever halves the rest."""

    kind: ClassVar[str] = "mtu"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = MtuParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "setup", "answer", "search")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("mtu_local_bytes", "Largest IP packet that this PC's own interface lets out."),
        Value(
            "mtu_path_bytes",
            "Largest IP packet tried that was answered, of at most 1500 bytes.",
        ),
        Value("mtu_told", "1 if a router said that a packet was too large for its next link."),
        Value("mtu_told_bytes", "MTU of that link, as the router said."),
    )

    def __init__(self, params: MtuParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: MtuParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Find the largest size; judge only that sizes which fail do so with a router's word."""
        address = await resolve(self._env, target.name, self._params.ip_version, rec)
        version = V6 if ":" in address else V4
        with rec.phase("setup"):
            local_bytes = _local_limit(version, address, target.source)
            engine = self._engine(version.number, target.source)
            engine.open()
        if local_bytes is not None:
            rec.value("mtu_local_bytes", local_bytes)
        path = _Path(engine, version, address, self._params.wait_seconds)
        with rec.phase("answer"):
            await path.must_answer()
        top = min(local_bytes or LADDER[-1], LADDER[-1])
        with rec.phase("search"):
            await path.search(sorted({top, *(size for size in LADDER if size < top)}))
            vanished = path.vanished()
            if vanished:
                await path.must_not_lose(vanished)
        _report(path, rec)
        if vanished:
            detail = f"packets of {path.passes_bytes} bytes are answered, of {vanished} not"
            rec.fail(Failure.MTU_BLACKHOLE, f"{detail}, and no router says why")

    def _engine(self, ip_version: int, source: Source | None) -> EchoEngine:
        """Return the engine of a line, which all checks share."""
        line = f" {source.interface} {source.address}" if source else ""
        return self._env.keep(
            f"mtu{ip_version}{line}", lambda: EchoEngine(ip_version, source, whole=True)
        )


class _Path:
    """What was found out about the way to one address; sizes are those of whole IP packets."""

    def __init__(
        self, engine: EchoEngine, version: Version, address: str, wait_seconds: float
    ) -> None:
        self._engine = engine
        self._headers_bytes = version.ip_header_bytes + HEADER_BYTES
        self._address = address
        self._wait_seconds = wait_seconds
        self._small_bytes = self._headers_bytes + SMALL_DATA_BYTES
        self._silent: list[int] = []
        """Sizes that were not answered, nor did a router say why."""
        self._explained_bytes = 1 << 16
        """From this size on a router has said that packets are too large."""
        self.passes_bytes = 0
        self.told: TooBig | None = None
        """What a router said of the narrowest link it told of."""

    async def must_answer(self) -> None:
        """Send small packets until one is answered. TargetError if none is."""
        if not await self._passes(self._small_bytes):
            raise TargetError(Failure.TIMEOUT, f"no answer to {TRIES} small echoes")

    async def search(self, sizes: list[int]) -> None:
        """Find the largest of ascending sizes that passes: the last first, then by halves.

        Where a router says what fits, that is tried next.
        """
        size = sizes[-1]
        while sizes:
            if await self._passes(size):
                sizes = [larger for larger in sizes if larger > size]
            else:
                sizes = [smaller for smaller in sizes if smaller < size]
                fits = self.told.mtu_bytes if self.told else 0
                if self.passes_bytes < fits < size:
                    sizes = [*(smaller for smaller in sizes if smaller < fits), fits]
                    size = fits
                    continue
            size = sizes[len(sizes) // 2] if sizes else 0

    def vanished(self) -> int:
        """Return the least size that vanished and that no router's word explains; 0 if none."""
        unexplained = [size for size in self._silent if size < self._explained_bytes]
        return min(unexplained, default=0)

    async def must_not_lose(self, vanished: int) -> None:
        """Raise TargetError unless it is size that counts: small packets are not lost."""
        burst = Burst(
            *(self._address, TRIES, self._wait_seconds / 5, self._wait_seconds, SMALL_DATA_BYTES)
        )
        await self._engine.exchange(burst)
        lost = TRIES - len(burst.rtts)
        if lost:
            raise TargetError(
                Failure.LOSS,
                f"{lost} of {TRIES} small packets lost, as well as {TRIES} of {vanished} bytes",
            )

    async def _passes(self, size: int) -> bool:
        """Try a size, three times at most. TargetError if somebody refuses it for another reason."""
        for _ in range(TRIES):
            data_bytes = size - self._headers_bytes
            burst = Burst(self._address, 1, self._wait_seconds, self._wait_seconds, data_bytes)
            await self._engine.exchange(burst)
            if burst.rtts:
                self.passes_bytes = size
                return True
            for refusal in burst.refusals.values():
                raise TargetError(refusal.failure, refusal.detail)
            for told in burst.too_big.values():
                self._hear(told, size)
                return False
        self._silent.append(size)
        return False

    def _hear(self, told: TooBig, size: int) -> None:
        """Keep a router's word; one that makes no sense of the size says only that it failed."""
        sensible = self.passes_bytes <= told.mtu_bytes < size
        mtu_bytes = told.mtu_bytes if sensible else 0
        self.told = told._replace(mtu_bytes=mtu_bytes)
        self._explained_bytes = mtu_bytes + 1 if sensible else size


def _report(path: _Path, rec: Recorder) -> None:
    rec.value("mtu_path_bytes", path.passes_bytes)
    rec.value("mtu_told", int(path.told is not None))
    if path.told is not None:
        rec.fact("told_by", path.told.router)
        if path.told.mtu_bytes:
            rec.value("mtu_told_bytes", path.told.mtu_bytes)


def _local_limit(version: Version, address: str, source: Source | None) -> int | None:
    """Return the MTU of the interface that leads to an address; None where even 64 KiB leave.

    Asked for by a packet that is too large for any: the kernel refuses it and says what fits.
    """
    with bound_socket(version.family, socket.SOCK_DGRAM, source) as sock:
        sock.setsockopt(version.level, version.discover_mtu, PMTUDISC_PROBE)
        sock.setsockopt(version.level, version.receive_errors, 1)
        sock.connect((address, DISCARD_PORT))
        try:
            sock.send(bytes(HUGE_DATA_BYTES))
        except OSError as exc:
            if exc.errno != EMSGSIZE:
                raise
        with suppress(BlockingIOError):
            _, extras, _, _ = sock.recvmsg(0, 256, socket.MSG_ERRQUEUE)
            for level, kind, value in extras:
                if (level, kind) == (version.level, version.receive_errors):
                    _, origin, *_, mtu_bytes, _ = EXTENDED_ERR.unpack_from(value)
                    return mtu_bytes if origin == ORIGIN_LOCAL else None
    return None
