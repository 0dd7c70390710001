"""From a host to a channel one can talk over: resolve, connect, shake hands, read certificates."""

import ssl
from dataclasses import dataclass

from agent.probes.base import Env, ProbeError, Recorder, Target
from agent.probes.certificates import Certificate, read_certificate
from agent.probes.channel import Channel
from agent.probes.classify import classify
from agent.probes.net import connect, refuse_host, resolve


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """Which certificates are good."""

    server_name: str = ""
    """Asked for (SNI) and looked for in the certificate; "" takes the host."""
    verify: bool = True
    ca_file: str = ""
    """PEM file of the issuers to trust; "" trusts the system's."""


def refuse_server_name(name: str) -> None:
    """Raise ValueError where a configured name is one that no certificate can have."""
    if name and (expected := refuse_host(name, 0)):
        raise ValueError(f"server_name {name!r}: {expected}")


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
    context = None if tls is None else tls_context(env, tls)
    address = await resolve(env, host, ip_version, rec)
    with rec.phase("connect"):
        channel = Channel(await connect(address, port, target))
    if tls is None or context is None:
        return channel
    server_name = tls.server_name or host
    try:
        with rec.phase("tls"):
            await channel.secure(context, server_name)
    except ssl.SSLCertVerificationError as exc:
        channel.close()
        rec.fail(*classify(exc))
        await _read_refused(env, target, rec, (address, port), server_name)
        return None
    except BaseException:
        channel.close()
        raise
    _report_chain(channel.chain(), rec)
    return channel


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
    env: Env, target: Target, rec: Recorder, endpoint: tuple[str, int], server_name: str
) -> None:
    """Report the certificates of a target whose handshake we have just refused.

    OpenSSL keeps a chain only once it is accepted, so this is a second connection, without
    verification, on which nothing is said. If it fails, nothing changes: the verdict is known.
    """
    try:
        channel = Channel(await connect(*endpoint, target))
    except (OSError, ProbeError):
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
