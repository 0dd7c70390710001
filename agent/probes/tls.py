"""TLS: whether a session can be agreed on, and how long the certificates are valid."""

from contextlib import closing
from typing import ClassVar, Literal

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.net import refuse_host_port, split_host_port


class TlsParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a TLS probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""


class Tls:
    """Shakes hands once and reads the certificates shown; says nothing inside the session."""

    kind: ClassVar[str] = "tls"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = TlsParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: TlsParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._policy = params

    @classmethod
    def refuse_target(cls, name: str, params: TlsParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Shake hands once; a second time only to read certificates that were refused."""
        host, port = split_host_port(target.name)
        channel = await open_channel(
            self._env,
            target,
            rec,
            host=host,
            port=port,
            ip_version=self._params.ip_version,
            tls=self._policy,
        )
        if channel is None:
            return
        with closing(channel):
            version, cipher = channel.agreed()
        rec.fact("tls_version", version)
        rec.fact("tls_cipher", cipher)
