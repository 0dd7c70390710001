"""HTTP: whether a page is there and says what it should, and where the time went."""

import re
import unicodedata
from typing import Annotated, ClassVar, Literal

from aiohttp.http import RawResponseMessage
from msgspec import Meta, Struct
from yarl import URL

from agent.probes.base import Env, Recorder, Target, TargetError, Value
from agent.probes.fetch import NO_USER, USER_AGENT, exchange, redirected, refuse_url, request
from agent.probes.handshake import TlsPolicy
from agent.wire import Failure

OURS = frozenset({"connection", "content-length", "expect", "transfer-encoding", "upgrade"})
# Meant for the host they were configured for, not for where it redirects to
PRIVATE = frozenset({"authorization", "cookie", "host"})
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The charsets of pages here. Not all that Python knows: some of its codecs are slow on purpose-made
# input, and the server chooses
CHARSETS = frozenset({"utf-8", "utf-16", "windows-1258", "windows-1252", "iso-8859-1"})
CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
# Hòa and Hoà are one name, by two schools of where the tone stands
TONES = {
    unicodedata.normalize("NFC", first + tone + second): unicodedata.normalize(
        "NFC", first + second + tone
    )
    for first, second in ("oa", "oe", "uy")
    for tone in "\u0300\u0301\u0303\u0309\u0323"
}
TONE = re.compile("|".join(TONES))


class HttpParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an HTTP probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""
    method: Literal["GET", "HEAD"] = "GET"
    headers: dict[str, str] = {}
    """Sent beside Host, User-Agent and Accept, or instead of them."""
    status_codes: list[Annotated[int, Meta(ge=100, le=599)]] = []
    """Of the last response: those that are a success; none named: 200 to 299."""
    max_redirects: Annotated[int, Meta(ge=0, le=20)] = 10
    """0 takes a redirect itself as the last response."""
    stay_on_host: bool = False
    """Whether a redirect to another host is a failure (a captive portal's is one)."""
    max_body_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20
    """Of the decoded body; a larger one is a failure, and is not read further."""
    body_contains: list[str] = []
    """Texts that must all be in the body; capitals, and where a vowel pair bears its tone (hòa,
    hoà), do not matter."""
    body_lacks: list[str] = []
    """Texts of which none may be in the body; compared likewise."""
    server_name: str = ""
    """Asked for (SNI) and looked for in the certificate; "" takes the URL's host."""
    verify: bool = True
    """Whether a certificate that this PC would not accept is a failure."""
    ca_file: str = ""
    """PEM file of the issuers to trust; "" trusts the system's."""

    def __post_init__(self) -> None:
        """Refuse headers that would break the request, and texts where no body is asked for."""
        TlsPolicy(server_name=self.server_name)  # refuses what no certificate can have
        for name, value in self.headers.items():
            if not TOKEN.fullmatch(name) or not value.isprintable():
                raise ValueError(f"header {name!r}: expected a name and one printable line")
            if name.lower() in OURS:
                raise ValueError(f"header {name!r}: is the probe's own to set")
        if self.method == "HEAD" and (self.body_contains or self.body_lacks):
            raise ValueError("method is HEAD, so there is no body: expected GET, or no texts")


class Http:
    """Fetches one URL, each redirect of it over a new connection."""

    kind: ClassVar[str] = "http"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = HttpParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "processing", "transfer")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("http_status_code", "Status code of the last response."),
        Value("http_version", "HTTP version of the last response, as 1.1."),
        Value("http_redirects", "Redirects that were followed."),
        Value("http_content_length", "Length of the body as the last response's header says."),
        Value("http_uncompressed_body_length", "Bytes of the last response's body, decoded."),
        Value("http_ssl", "Whether the last response came over TLS, 0 or 1."),
        Value("failed_due_to_regex", "Whether the failure was the body's texts, 0 or 1."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: HttpParams, env: Env) -> None:
        self._params = params
        self._env = env
        headers = {
            "user-agent": USER_AGENT,
            "accept": ("Accept", "*/*"),
        }
        headers |= {name.lower(): (name, value) for name, value in params.headers.items()}
        self._headers = headers
        self._contains = {text: _comparable(text) for text in params.body_contains}
        self._lacks = {text: _comparable(text) for text in params.body_lacks}

    @classmethod
    def refuse_target(cls, name: str, params: HttpParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        expected = refuse_url(name, params.ip_version)
        return f"{NO_USER}; params.headers can hold them" if expected == NO_USER else expected

    async def run(self, target: Target, rec: Recorder) -> None:
        """Fetch the URL and follow its redirects; phases of all connections add up."""
        url = URL(target.name)
        private = True
        for redirects in range(self._params.max_redirects + 1):
            rec.value("http_redirects", redirects)
            following = await self._fetch(url, target, rec, private=private)
            if following is None:
                return
            private = private and following.raw_host == url.raw_host
            url = following
            rec.fact("redirected_to", f"{url.origin()}{url.path}")  # a query may hold secrets
        rec.fail(Failure.HTTP_REDIRECT, f"redirected more than {self._params.max_redirects} times")

    async def _fetch(self, url: URL, target: Target, rec: Recorder, *, private: bool) -> URL | None:
        """Return where one response redirects to; None when it is the last and was judged."""
        params = self._params
        server_name = params.server_name if private else ""
        async with exchange(
            self._env,
            target,
            rec,
            url,
            self._request(url, private=private),
            ip_version=params.ip_version,
            tls=TlsPolicy(server_name=server_name, verify=params.verify, ca_file=params.ca_file),
            with_body=params.method != "HEAD",
        ) as response:
            head = await response.head()
            rec.value("http_ssl", int(url.scheme == "https"))
            _report(head, rec)
            following = self._following(url, head, rec)
            if following is not None:
                return following
            self._judge_status(head, rec)
            body = await response.body(params.max_body_bytes)
        if body is None:
            rec.fail(Failure.TOO_LARGE, f"the body is larger than {params.max_body_bytes} bytes")
            return None
        rec.value("http_uncompressed_body_length", len(body))
        if self._contains or self._lacks:
            self._judge_body(_text(head, body), rec)
        return None

    def _request(self, url: URL, *, private: bool) -> bytes:
        given = self._headers
        if not private:
            given = {key: pair for key, pair in given.items() if key not in PRIVATE}
        headers = {"host": ("Host", url.host_port_subcomponent or ""), **given}
        return request(self._params.method, url, headers.values())

    def _following(self, url: URL, head: RawResponseMessage, rec: Recorder) -> URL | None:
        """Return where to go on; None when this response is the last, or leads nowhere allowed."""
        if not self._params.max_redirects:
            return None
        try:
            following = redirected(url, head)
        except TargetError as exc:
            rec.fail(exc.failure, str(exc))
            return None
        if following and self._params.stay_on_host and following.raw_host != url.raw_host:
            rec.fail(Failure.HTTP_REDIRECT, f"to another host: {following.origin()}")
            return None
        return following

    def _judge_status(self, head: RawResponseMessage, rec: Recorder) -> None:
        accepted = self._params.status_codes or range(200, 300)
        if head.code not in accepted:
            rec.fail(Failure.HTTP_STATUS, f"{head.code} {head.reason}".strip())

    def _judge_body(self, text: str, rec: Recorder) -> None:
        missing = [wanted for wanted, folded in self._contains.items() if folded not in text]
        present = [unwanted for unwanted, folded in self._lacks.items() if folded in text]
        rec.value("failed_due_to_regex", int(bool(missing or present)))
        if missing:
            rec.fail(Failure.HTTP_BODY, f"missing: {missing[0]!r}")
        elif present:
            rec.fail(Failure.HTTP_BODY, f"must not be there: {present[0]!r}")


def _report(head: RawResponseMessage, rec: Recorder) -> None:
    rec.value("http_status_code", head.code)
    rec.value("http_version", float(f"{head.version.major}.{head.version.minor}"))
    rec.values.pop("http_content_length", None)  # a redirect's says nothing of the last response
    if "Content-Length" in head.headers:
        rec.value("http_content_length", int(head.headers["Content-Length"]))


def _text(head: RawResponseMessage, body: bytes) -> str:
    """Decode a page for comparing."""
    named = CHARSET.search(head.headers.get("Content-Type", ""))
    charset = named[1].lower() if named else ""
    text = body.decode(charset if charset in CHARSETS else "utf-8", "replace")
    return _comparable(text)


def _comparable(text: str) -> str:
    """Write one word in one way: letters and marks composed (NFC), small, tones by one school."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return TONE.sub(lambda pair: TONES[pair[0]], folded)
