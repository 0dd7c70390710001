"""A TLS session is agreed on or refused for a precise reason, and the dates are told either way."""

import ssl
import warnings
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes.base import Env, ProbeError, Source
from agent.probes.channel import CHUNK_BYTES
from agent.probes.handshake import TlsPolicy, tls_context
from agent.probes.tls import Tls, TlsParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import break_off, serve, server_context, silent, stopped
from tests.agent.probes.tries import Tried
from tests.waiting import until

REFUSED = {
    "expired": (Failure.TLS_EXPIRED, "certificate has expired"),
    "future": (Failure.TLS_NOT_YET_VALID, "certificate is not yet valid"),
    "wrong_name": (
        Failure.TLS_WRONG_NAME,
        "Hostname mismatch, certificate is not valid for 'portal.test'.",
    ),
    "untrusted": (Failure.TLS_UNTRUSTED, "unable to get local issuer certificate"),
}


@pytest.mark.real
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("shown", ["good", "rsa", "chain"])
async def test_good(env, nginx, pki, shown, host):
    """A good certificate: three phases, the session's terms, and the first date of the chain."""
    name = f"{host}:{nginx.https[shown]}"
    rec = await attempt(Tls, env, name, ca_file=str(pki.ca_file))

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "connect", "tls"]
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry
    assert rec.facts["tls_version"] == "TLSv1.3"
    assert rec.facts["tls_cipher"] == "TLS_AES_256_GCM_SHA384"


@pytest.mark.real
@pytest.mark.parametrize("shown", REFUSED)
async def test_bad_certificate(env, nginx, pki, shown):
    """A bad certificate is refused for what it is; its date and issuer are told nonetheless."""
    name = f"127.0.0.1:{nginx.https[shown]}"
    params = {"ca_file": str(pki.ca_file), "server_name": "portal.test"}
    rec = await attempt(Tls, env, name, **params)

    assert (rec.failure, rec.detail) == REFUSED[shown]
    assert list(rec.phases) == ["resolve", "connect"]
    assert rec.current_phase == "tls"
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry
    subject = "CN=elsewhere.test" if shown == "wrong_name" else "CN=portal.test"
    issuer = "CN=Stranger CA" if shown == "untrusted" else "CN=Test CA"
    assert rec.facts["certificate_subject"] == subject
    assert rec.facts["certificate_issuer"] == issuer


@pytest.mark.real
async def test_system_trust(env, nginx):
    """Without a ca_file the system's issuers count, and they do not know ours."""
    rec = await attempt(Tls, env, f"127.0.0.1:{nginx.https['good']}")

    assert rec.failure is Failure.TLS_UNTRUSTED


@pytest.mark.real
@pytest.mark.parametrize("shown", REFUSED)
async def test_not_verified(env, nginx, pki, shown):
    """Where the check does not verify, a bad certificate is no failure."""
    rec = await attempt(Tls, env, f"127.0.0.1:{nginx.https[shown]}", verify=False)

    assert rec.failure is None
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry


@pytest.mark.parametrize(("shown", "times"), [("good", 1), ("expired", 2)])
async def test_second_handshake_is_only_for_the_refused(env, pki, shown, times):
    """A good target is met once; a refused one once more, over the same line, in silence."""
    met, said = [], []
    context = server_context(getattr(pki, shown))

    async def act(reader, writer):
        met.append(writer.get_extra_info("peername")[0])
        await writer.start_tls(context)
        said.append(await reader.read())

    async with serve(act) as port:
        await attempt(
            Tls,
            env,
            f"127.0.0.1:{port}",
            source=Source(address="127.0.0.2"),
            ca_file=str(pki.ca_file),
        )
        await until(lambda: said, what="the server has seen the end")

    assert met == ["127.0.0.2"] * times
    assert said == [b""]


@pytest.mark.parametrize("second", ["closes", "is silent"])
async def test_verdict_stands_without_the_second_handshake(env, pki, second):
    """What happens to the second connection changes nothing: the certificate was refused."""
    context = server_context(pki.expired)
    met = []

    async def act(reader, writer):
        met.append(writer)
        if len(met) == 1:
            await writer.start_tls(context)
        elif second == "is silent":
            await silent(reader, writer)

    before = open_files()
    async with serve(act) as port:
        name = f"127.0.0.1:{port}"
        rec = await attempt(Tls, env, name, seconds=0.3, ca_file=str(pki.ca_file))

    assert rec.failure is Failure.TLS_EXPIRED
    assert "ssl_earliest_cert_expiry" not in rec.values
    assert len(met) == 2
    assert open_files() == before


async def hangs_up(reader, writer):
    """End the connection after the first words."""
    await reader.read(CHUNK_BYTES)
    writer.close()


async def resets(reader, writer):
    """Break the connection after the first words."""
    await reader.read(CHUNK_BYTES)
    break_off(writer)


async def speaks_smtp(reader, writer):
    """Greet in plain text, as a mail server would."""
    writer.write(b"220 mail.test ESMTP\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("act", "failure", "detail"),
    [
        (hangs_up, Failure.TLS_HANDSHAKE, "unexpected eof while reading"),
        (resets, Failure.RESET, "Connection reset by peer"),
        (speaks_smtp, Failure.TLS_HANDSHAKE, "wrong version number"),
        (silent, Failure.TIMEOUT, "TimeoutError"),
    ],
)
async def test_no_session(env, act, failure, detail):
    """What does not speak TLS fails in phase tls, each in its own way, and nothing is left."""
    before = open_files()
    async with serve(act) as port:
        rec = await attempt(Tls, env, f"127.0.0.1:{port}", seconds=0.3)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert list(rec.phases) == ["resolve", "connect"]
    assert rec.current_phase == "tls"
    assert open_files() == before


async def test_no_version_in_common(env, pki):
    """A server that only speaks what is forbidden here is a failed handshake."""
    context = server_context(pki.good)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def act(_reader, writer):
        await writer.start_tls(context)

    async with serve(act) as port:
        rec = await attempt(Tls, env, f"127.0.0.1:{port}", ca_file=str(pki.ca_file))

    assert rec.failure is Failure.TLS_HANDSHAKE


async def test_name_is_per_target(env, pki):
    """The name asked for is the target's own, although the context is shared by all."""
    asked = []
    context = server_context(pki.good)
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def act(reader, writer):
        await writer.start_tls(context)
        await reader.read()

    async def resolve(_host, _ip_version):
        return ["127.0.0.1"]

    env = Env(resolve=resolve)
    async with serve(act) as port:
        for host in ("portal.test", "127.0.0.1"):  # an address is never asked for (RFC 6066)
            rec = await attempt(Tls, env, f"{host}:{port}", ca_file=str(pki.ca_file))
            assert rec.failure is None
        rec = await attempt(
            Tls, env, f"127.0.0.1:{port}", server_name="portal.test", ca_file=str(pki.ca_file)
        )
        assert rec.failure is None

    assert asked == ["portal.test", None, "portal.test"]


def test_contexts_are_shared(env, pki):
    """One context per policy, whatever the name; unverified ones trust no file."""
    own = TlsPolicy(ca_file=str(pki.ca_file))
    named = TlsPolicy(server_name="portal.test", ca_file=str(pki.ca_file))
    careless = TlsPolicy(verify=False)

    assert tls_context(env, own) is tls_context(env, named)
    assert tls_context(env, TlsPolicy()) is not tls_context(env, own)
    assert tls_context(env, careless) is tls_context(
        env, TlsPolicy(verify=False, ca_file=str(pki.ca_file))
    )


@pytest.mark.parametrize("contents", [None, "no certificate"])
async def test_ca_file_that_is_none(env, tmp_path, contents):
    """Issuers that cannot be read are our error, tried anew each time, and name the file."""
    path = tmp_path / "ca.pem"
    if contents is not None:
        path.write_text(contents)
    for _ in range(2):
        with pytest.raises(ProbeError) as caught:
            await attempt(Tls, env, "127.0.0.1:9", ca_file=str(path))
        assert str(caught.value).startswith(f"ca_file {path}: expected certificates as PEM: ")


@pytest.mark.real
async def test_hung_server(env, nginx):
    """A stopped nginx still connects, by the kernel's hand, and then times out in the handshake."""
    with stopped(nginx.master):
        rec = await attempt(Tls, env, f"127.0.0.1:{nginx.https['good']}", seconds=0.2)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "tls"


def test_targets():
    """A target that is none is refused with what was expected of it."""
    assert not Tls.refuse_target("portal.test:443", TlsParams())
    expected = "expected host:port, or [address]:port for IPv6"
    assert Tls.refuse_target("portal.test", TlsParams()) == expected


def test_server_name_must_be_one():
    """A server_name that no certificate can have is refused when configured."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"server_name": ".portal.test"}, TlsParams)

    assert str(caught.value) == (
        "server_name '.portal.test': expected a host name with labels of 1 to 63 characters"
    )


@asynccontextmanager
async def tried(pki):
    """Show a good certificate and an expired one."""
    params = {"ca_file": str(pki.ca_file)}
    async with serve(silent, tls=pki.good) as good, serve(silent, tls=pki.expired) as expired:
        yield Tried(f"127.0.0.1:{good}", params), Tried(f"127.0.0.1:{expired}", params)
