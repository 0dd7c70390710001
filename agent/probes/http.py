"""HTTP: is the page there, does it say what it should, and where did the time go?"""

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.net import connect, resolve


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an HTTP probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name to use; 0: the first one, as the system orders them."""
    method: Literal["GET", "HEAD"] = "GET"
    headers: dict[str, str] = {}
    status_codes: list[int] = []
    """Which final status codes are a success; none named: 200 to 299."""
    max_redirects: int = 10
    """0 takes a redirect itself as the answer."""
    max_body_bytes: int = 1 << 20
    body_contains: list[str] = []
    """Texts that must all be on the page."""
    body_lacks: list[str] = []
    """Texts of which none may be on the page."""
    server_name: str = ""
    """Name asked for (SNI) and looked for in the certificate; "" takes the URL's host."""
    verify: bool = True
    """Whether a certificate that this PC would not accept is a failure."""
    ca_file: str = ""
    """PEM file of the issuers to trust instead of the system's."""


class Http:
    """Fetches one URL over a connection of its own."""

    kind = "http"
    version = 1
    Params = Params
    phases = ("resolve", "connect", "tls", "processing", "transfer")
    values = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("http_status_code", "Status code of the last response."),
        Value("http_version", "HTTP version of the last response, as 1.1."),
        Value("http_redirects", "Redirects that were followed."),
        Value("http_content_length", "Length of the body by the last response's header."),
        Value("http_uncompressed_body_length", "Bytes of the last response's body when decoded."),
        Value("http_ssl", "Whether the last response came over TLS, 0 or 1."),
        Value("failed_due_to_regex", "Whether the body's texts were the failure, 0 or 1."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: Params, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: Params) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        del params
        url = urlsplit(name)
        return "" if url.scheme in {"http", "https"} and url.hostname else "expected a URL"

    async def run(self, target: Target, rec: Recorder) -> None:
        """Fetch the URL once."""
        url = urlsplit(target.name)
        address = await resolve(self._env, url.hostname or "", self._params.ip_version, rec)
        with rec.phase("connect"):
            sock = await connect(address, url.port or 80, target)
        sock.close()
