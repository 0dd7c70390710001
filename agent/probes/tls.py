"""TLS: does the handshake succeed, and how long are the certificates valid?"""

from typing import Literal

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.net import connect, resolve, split_host_port


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a TLS probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name to use; 0: the first one, as the system orders them."""
    server_name: str = ""
    """Name asked for (SNI) and looked for in the certificate; "" takes the target's host."""
    verify: bool = True
    """Whether a certificate that this PC would not accept is a failure."""
    ca_file: str = ""
    """PEM file of the issuers to trust instead of the system's."""


class Tls:
    """Connects, shakes hands and reads the certificates that the target shows."""

    kind = "tls"
    version = 1
    Params = Params
    phases = ("resolve", "connect", "tls")
    values = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
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
        return "" if split_host_port(name) else "expected host:port or [v6]:port"

    async def run(self, target: Target, rec: Recorder) -> None:
        """Connect and shake hands once."""
        host, port = split_host_port(target.name) or ("", 0)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        with rec.phase("connect"):
            sock = await connect(address, port, target)
        sock.close()
