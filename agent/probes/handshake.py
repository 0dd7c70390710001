"""From a host to a channel one can talk over: resolve, connect, shake hands, read certificates."""

import ssl
from collections.abc import Awaitable, Callable

from msgspec import Struct

from agent.probes.base import Env, ProbeError, Recorder, Target, TargetError
from agent.probes.certificates import Certificate, read_certificate
from agent.probes.channel import Channel
from agent.probes.classify import classify
from agent.probes.net import connect, refuse_host, resolve


class TlsPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which certificates are good. Params of probes that shake hands begin with these."""

    server_name: str = ""
    """Asked for (SNI) and looked for in the certificate; "" takes the target's host."""
    verify: bool = True
    """Whether a certificate that this PC would not accept is a failure."""
    ca_file: str = ""
    """PEM file of the issuers to trust; "" trusts the system's."""

    def __post_init__(self) -> None:
        """Refuse a name that no certificate can have."""
        if self.server_name and (expected := refuse_host(self.server_name, 0)):
            raise ValueError(f"server_name {self.server_name!r}: {expected}")


async def open_channel(
    env: Env,
    target: Target,
    rec: Recorder,
    *,
    host: str,
    port: int,
    ip_version: int,
    tls: TlsPolicy | None,
) -> Channel | None:
    """Connect over the target's line, as phases `resolve`, `connect` and (with `tls`) `tls`.

    None when the certificate was refused: that failure is recorded. OSError flies.
    """
    if tls is not None:
        tls_context(env, tls)  # issuers that cannot be read are known before anybody is bothered
    address = await resolve(env, host, ip_version, rec)

    async def dial() -> Channel:
        return Channel(await connect(address, port, target))

    with rec.phase("connect"):
        channel = await dial()
    if tls is None or await secure_channel(env, rec, channel, tls=tls, host=host, again=dial):
        return channel
    return None


async def secure_channel(
    env: Env,
    rec: Recorder,
    channel: Channel,
    *,
    tls: TlsPolicy,
    host: str,
    again: Callable[[], Awaitable[Channel]],
) -> bool:
    """Shake hands on a channel, as phase `tls`, and report the certificates shown.

    False when the certificate was refused: that failure is recorded. What else goes wrong flies.
    Unless True is returned the channel is closed. `again` opens a second one as far as this one
    is: OpenSSL keeps a chain only once it is accepted, so a refused one is read over that.
    """
    server_name = tls.server_name or host
    try:
        with rec.phase("tls"):
            await channel.secure(tls_context(env, tls), server_name)
    except ssl.SSLCertVerificationError as exc:
        channel.close()
        rec.fail(*classify(exc))
        await _read_refused(env, rec, server_name, again)
        return False
    except BaseException:
        channel.close()
        raise
    _report_chain(channel.chain(), rec)
    return True


def tls_context(env: Env, tls: TlsPolicy) -> ssl.SSLContext:
    """Return the context that all probes of one policy share: one costs 23 ms to make.

    A `ca_file` that changed is read at the agent's next start. ProbeError when it cannot be read.
    """
    key = f"tls {tls.ca_file}" if tls.verify else "tls unverified"
    return env.keep(key, lambda: _make_context(tls))


def _make_context(tls: TlsPolicy) -> ssl.SSLContext:
    if not tls.verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=tls.ca_file or None)
    except OSError as exc:  # ssl.SSLError is one
        raise ProbeError(f"ca_file {tls.ca_file}: expected certificates as PEM: {exc}") from exc


async def _read_refused(
    env: Env, rec: Recorder, server_name: str, again: Callable[[], Awaitable[Channel]]
) -> None:
    """Report the certificates of a target whose handshake we have just refused.

    Without verification, and nothing is said. If it fails, nothing changes: the verdict is known.
    """
    try:
        channel = await again()
    except (OSError, EOFError, ProbeError, TargetError):
        return
    try:
        await channel.secure(tls_context(env, TlsPolicy(verify=False)), server_name)
        chain = channel.chain()
    except OSError:
        return
    finally:
        channel.close()
    own = _report_chain(chain, rec)
    if own is not None:
        rec.fact("certificate_subject", own.subject)
        rec.fact("certificate_issuer", own.issuer)


def _report_chain(chain: list[bytes], rec: Recorder) -> Certificate | None:
    """Report when the first of the certificates shown expires; return the target's own."""
    try:
        certificates = [read_certificate(der) for der in chain]
    except ValueError as exc:
        rec.fact("certificate_unreadable", str(exc))
        return None
    rec.value("ssl_earliest_cert_expiry", min(shown.not_after for shown in certificates))
    return certificates[0]
