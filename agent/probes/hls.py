"""HLS: whether a live stream goes on, and comes faster than it is watched (RFC 8216)."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from yarl import URL

from agent.probes.base import Env, Recorder, Target, TargetError, Value
from agent.probes.fetch import Got, get, refuse_url
from agent.probes.handshake import TlsPolicy
from agent.probes.playlist import Master, Media, Segment, Variant, read_playlist, starts_with_bom
from agent.probes.progress import Progress
from agent.wire import Failure

PLAYLIST_BYTES = 1 << 20


class HlsParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an HLS probe."""

    variant: Literal["lowest", "highest"] = "lowest"
    """Which of a master playlist's variants is watched, by their bandwidth."""
    max_segment_bytes: Annotated[int, Meta(ge=1 << 10, le=64 << 20)] = 8 << 20
    """Of the newest segment; of a larger one this much is downloaded and judged."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    verify: bool = True
    """Whether a certificate that this PC would not accept is a failure."""
    ca_file: str = ""
    """PEM file of the issuers to trust; "" trusts the system's."""


class Hls:
    """Looks at the playlist once a run, downloads the newest segment, and remembers what it saw."""

    kind: ClassVar[str] = "hls"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = HlsParams
    phases: ClassVar[tuple[str, ...]] = (
        "resolve",
        "connect",
        "tls",
        "processing",
        "transfer",
        "segment",
    )
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
        Value("hls_variants", "Variants that the master playlist offers."),
        Value("hls_target_duration_seconds", "Longest segment, as the playlist announces it."),
        Value("hls_media_sequence", "Media sequence number of the playlist's last segment."),
        Value("hls_discontinuities", "Discontinuities between the playlist's segments."),
        Value("hls_stalled_seconds", "Since a new segment was first seen."),
        Value(
            "hls_live_edge_age_seconds",
            "Age of the end of the last segment, by its date and this PC's clock.",
        ),
        Value("hls_segment_bytes", "Bytes downloaded of the last segment."),
        Value(
            "hls_segment_speed_ratio",
            "Seconds of the stream downloaded in one second, from the request to the last byte.",
        ),
        Value("hls_resets_total", "Times that the numbering of segments began anew.", counter=True),
    )

    def __init__(self, params: HlsParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._policy = TlsPolicy(verify=params.verify, ca_file=params.ca_file)
        self._progress: dict[tuple[str, str], Progress] = {}

    @classmethod
    def refuse_target(cls, name: str, params: HlsParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_url(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Look once, and judge with the looks before it; a segment is downloaded if there is one."""
        playlist = await self._media(target, rec)
        rec.value("hls_target_duration_seconds", playlist.target_seconds)
        rec.value("hls_discontinuities", playlist.discontinuities)
        if playlist.segments:
            rec.value("hls_media_sequence", playlist.last)
        if playlist.edge is not None:
            rec.value("hls_live_edge_age_seconds", self._env.wall() - playlist.edge)
        if playlist.ended:
            rec.fail(Failure.ENDED, "found #EXT-X-ENDLIST, expected a live stream")
            return
        self._judge_progress(playlist, target, rec)
        if rec.failure is None and playlist.segments:
            with rec.phase("segment"):
                await self._download(playlist.segments[-1], target, rec)

    async def _media(self, target: Target, rec: Recorder) -> Media:
        playlist, url = await self._playlist(URL(target.name), target, rec)
        if isinstance(playlist, Master):
            rec.value("hls_variants", len(playlist.variants))
            chosen = self._choose(playlist.variants)
            rec.fact("variant", f"{chosen.bandwidth} bit/s {chosen.resolution}".strip())
            playlist, url = await self._playlist(self._url(chosen.uri), target, rec)
        if isinstance(playlist, Master):
            raise TargetError(Failure.MALFORMED, f"found variants at {url.path}, expected segments")
        return playlist

    async def _playlist(
        self, url: URL, target: Target, rec: Recorder
    ) -> tuple[Master | Media, URL]:
        async with self._get(url, target, rec) as got:
            body = await got.response.body(PLAYLIST_BYTES)
        for name in ("Age", "X-Cache"):  # which edge of a CDN it was, and how old its copy is
            if name in got.head.headers:
                rec.fact(name.lower().replace("-", "_"), got.head.headers[name])
        if body is None:
            raise TargetError(
                Failure.TOO_LARGE, f"the playlist is larger than {PLAYLIST_BYTES} bytes"
            )
        if starts_with_bom(body):
            rec.fact("playlist", "begins with a byte order mark, at which some players stop")
        return read_playlist(body, str(got.url)), got.url

    def _choose(self, variants: tuple[Variant, ...]) -> Variant:
        best = min if self._params.variant == "lowest" else max
        return best(variants, key=lambda variant: variant.bandwidth)

    def _judge_progress(self, playlist: Media, target: Target, rec: Recorder) -> None:
        progress = self._progress.setdefault((target.name, target.line), Progress())
        look = progress.look(playlist, self._env.monotonic_ns() / 1e9)
        rec.count("hls_resets_total", int(look.reset_from is not None))
        if look.reset_from is not None:
            rec.fact("reset", f"segments went on from {look.reset_from} with {playlist.last}")
        if look.stalled_seconds is not None:
            rec.value("hls_stalled_seconds", look.stalled_seconds)
        if look.stalled:
            rec.fail(
                Failure.STALLED,
                f"found no new segment for {look.stalled_seconds:.1f} s, "
                f"expected one every {playlist.target_seconds:g} s",
            )

    async def _download(self, segment: Segment, target: Target, rec: Recorder) -> None:
        """Download as much as is allowed, and for no longer than it takes to watch it."""
        last_byte = segment.first_byte + segment.size - 1
        ranges = [("Range", f"bytes={segment.first_byte}-{last_byte}")] if segment.size else []
        apart = Recorder()  # all its phases are one here
        async with self._get(self._url(segment.uri), target, apart, ranges) as got:
            if segment.size and got.head.code != 206:
                detail = f"{got.head.code}, expected 206 for a part of a file"
                raise TargetError(Failure.HTTP_STATUS, detail)
            begun = self._env.monotonic_ns()
            before = apart.phases["processing"] + apart.phases.get("transfer", 0.0)
            size, whole, seconds = 0, False, before
            while size < self._params.max_segment_bytes and not seconds > segment.seconds > 0:
                piece = await got.response.piece()
                if size == 0:
                    _refuse_page(piece)
                size += len(piece)
                seconds = before + (self._env.monotonic_ns() - begun) / 1e9
                if not piece:
                    whole = True
                    break
        rec.value("hls_segment_bytes", size)
        length = int(got.head.headers.get("Content-Length", 0))
        part = 1.0 if whole else size / length if length else None
        if part is not None and segment.seconds:
            rec.value("hls_segment_speed_ratio", segment.seconds * part / seconds)
        if seconds > segment.seconds > 0:
            found = f"found {size} bytes in {seconds:.1f} s"
            rec.fail(Failure.TOO_SLOW, f"{found}, expected {segment.seconds:g} s of the stream")

    def _url(self, uri: str) -> URL:
        if expected := refuse_url(uri, self._params.ip_version):
            raise TargetError(Failure.MALFORMED, f"found {uri[:100]!r}, {expected}")
        return URL(uri)

    def _get(
        self, url: URL, target: Target, rec: Recorder, headers: Iterable[tuple[str, str]] = ()
    ) -> AbstractAsyncContextManager[Got]:
        return get(
            self._env,
            target,
            rec,
            url,
            ip_version=self._params.ip_version,
            tls=self._policy,
            headers=headers,
        )


def _refuse_page(begin: bytes) -> None:
    """Raise where a segment is empty or a page for people, as portals answer with to everything."""
    if not begin:
        raise TargetError(Failure.MALFORMED, "found no bytes, expected a segment")
    if begin[:200].lstrip().lower().startswith((b"<html", b"<!doctype html")):
        raise TargetError(Failure.MALFORMED, "found a page of HTML, expected a segment")
