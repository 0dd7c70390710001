"""OCSP: whether the authority still answers if a certificate was revoked, signed and of today."""

from typing import ClassVar, Literal

from msgspec import Struct
from yarl import URL

from agent.probes.base import Env, ProbeError, Recorder, Target, TargetError, Value
from agent.probes.fetch import USER_AGENT, exchange, refuse_url, request
from agent.probes.handshake import TlsPolicy
from agent.wire import Failure

RESPONSE_BYTES = 1 << 16
STATUSES = ("good", "revoked", "unknown")


class OcspParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an OCSP probe."""

    certificate_file: str
    """PEM file on the PC: the certificate that is asked about."""
    issuer_file: str
    """PEM file on the PC: the authority's certificate that has issued it."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    verify: bool = True
    """Whether a server's certificate that this PC would not accept is a failure, with https."""
    ca_file: str = ""
    """PEM file of the issuers to trust with https; "" trusts the system's."""


class Ocsp:
    """Asks a responder about one certificate. That it was revoked is an answer, and no failure."""

    kind: ClassVar[str] = "ocsp"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = OcspParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "processing", "transfer")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
        Value(
            "ocsp_response_status", "Code of the response: 0 successful, 3 try later (RFC 6960)."
        ),
        Value(
            "ocsp_certificate_status",
            "What the responder says of the certificate: 1 for its status, 0 for the others.",
            labels=(("status", STATUSES),),
        ),
        Value("ocsp_this_update_timestamp_seconds", "Unix time at which the answer was right."),
        Value("ocsp_next_update_timestamp_seconds", "Unix time until which the answer is valid."),
    )

    def __init__(self, params: OcspParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._policy = TlsPolicy(verify=params.verify, ca_file=params.ca_file)

    @classmethod
    def refuse_target(cls, name: str, params: OcspParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_url(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask once, by POST: caches on the way answer GETs that the responder never sees."""
        try:
            from agent.probes import signatures  # noqa: PLC0415  an extra, of memory too
        except ImportError as exc:
            raise ProbeError(f"{exc}: install thongsuot[signatures]") from exc
        params = self._params
        question = signatures.Question(
            signatures.read_certificate_file("certificate_file", params.certificate_file),
            signatures.read_certificate_file("issuer_file", params.issuer_file),
        )
        response = signatures.read_response(await self._ask(question.wire, target, rec))
        rec.value("ocsp_response_status", response.response_status.value)
        now = self._env.wall()
        answer = question.read(response, now)
        for status in STATUSES:
            rec.value("ocsp_certificate_status", int(status == answer.status), status)
        rec.value("ocsp_this_update_timestamp_seconds", answer.dates.this_update)
        if answer.dates.next_update is not None:
            rec.value("ocsp_next_update_timestamp_seconds", answer.dates.next_update)
        if answer.revoked:
            rec.fact("revoked", answer.revoked)
        if answer.status == "unknown":
            rec.fail(Failure.STATUS, "the responder does not know the certificate")
        answer.dates.refuse(now)

    async def _ask(self, wire: bytes, target: Target, rec: Recorder) -> bytes:
        url = URL(target.name)
        headers = [
            ("Host", url.host_port_subcomponent or ""),
            USER_AGENT,
            ("Accept", "application/ocsp-response"),
            ("Content-Type", "application/ocsp-request"),
        ]
        async with exchange(
            self._env,
            target,
            rec,
            url,
            request("POST", url, headers, wire),
            ip_version=self._params.ip_version,
            tls=self._policy,
        ) as response:
            head = await response.head()
            if head.code != 200:
                raise TargetError(Failure.HTTP_STATUS, f"{head.code} {head.reason}".strip())
            body = await response.body(RESPONSE_BYTES)
        if body is None:
            detail = f"the response is larger than {RESPONSE_BYTES} bytes"
            raise TargetError(Failure.TOO_LARGE, detail)
        return body
