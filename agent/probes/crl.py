"""CRL: whether an authority's revocation list can be had, is signed by it and of today."""

from typing import ClassVar, Literal

from msgspec import Struct
from yarl import URL

from agent.probes.base import Env, ProbeError, Recorder, Target, TargetError, Value
from agent.probes.fetch import get, refuse_url
from agent.probes.handshake import TlsPolicy
from agent.wire import Failure

LIST_BYTES = 20 << 20


class CrlParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a CRL probe."""

    issuer_file: str
    """PEM file on the PC: the certificate of the authority whose list it is."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    verify: bool = True
    """Whether a server's certificate that this PC would not accept is a failure, with https."""
    ca_file: str = ""
    """PEM file of the issuers to trust with https; "" trusts the system's."""


class Crl:
    """Downloads one revocation list, whole, and verifies it."""

    kind: ClassVar[str] = "crl"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = CrlParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "processing", "transfer")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
        Value("crl_bytes", "Size of the revocation list."),
        Value("crl_this_update_timestamp_seconds", "Unix time at which the list was made."),
        Value("crl_next_update_timestamp_seconds", "Unix time until which the list is valid."),
    )

    def __init__(self, params: CrlParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._policy = TlsPolicy(verify=params.verify, ca_file=params.ca_file)

    @classmethod
    def refuse_target(cls, name: str, params: CrlParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_url(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Download once, and follow redirects."""
        try:
            from agent.probes import signatures  # noqa: PLC0415  an extra, of memory too
        except ImportError as exc:
            raise ProbeError(f"{exc}: install thongsuot[signatures]") from exc
        issuer = signatures.read_certificate_file("issuer_file", self._params.issuer_file)
        body = await self._download(target, rec)
        rec.value("crl_bytes", len(body))
        dates = signatures.read_crl(body, issuer)
        rec.value("crl_this_update_timestamp_seconds", dates.this_update)
        if dates.next_update is not None:
            rec.value("crl_next_update_timestamp_seconds", dates.next_update)
        dates.refuse(self._env.wall())

    async def _download(self, target: Target, rec: Recorder) -> bytes:
        async with get(
            self._env,
            target,
            rec,
            URL(target.name),
            ip_version=self._params.ip_version,
            tls=self._policy,
        ) as got:
            body = await got.response.body(LIST_BYTES)
        if body is None:
            raise TargetError(Failure.TOO_LARGE, f"the list is larger than {LIST_BYTES} bytes")
        return body
