"""A mail server is greeted and left: what it says, offers and shows is judged, and no letter is sent."""

import re
import socket
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes.base import Env, ProbeError, Source
from agent.probes.mail import Mail, MailParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import break_off, serve, server_context, silent
from tests.agent.probes.tries import Tried
from tests.lab.servers.mail import dovecot, postfix
from tests.programs import free_port

REFUSED = {
    "expired": (Failure.TLS_EXPIRED, "certificate has expired"),
    "wrong_name": (
        Failure.TLS_WRONG_NAME,
        "Hostname mismatch, certificate is not valid for 'portal.test'.",
    ),
}
PHASES = {
    "smtp": ["resolve", "connect", "banner", "capability", "starttls", "tls", "quit"],
    "submissions": ["resolve", "connect", "tls", "banner", "capability", "quit"],
    "imaps": ["resolve", "connect", "tls", "banner", "capability", "quit"],
    "pop3s": ["resolve", "connect", "tls", "banner", "capability", "quit"],
}
CODE = {"smtp": {"mail_response_code"}, "submissions": {"mail_response_code"}}


@pytest.fixture(scope="module")
def mail_ports(tmp_path_factory, pki):
    """Run a postfix and, for each certificate, a dovecot; return the ports of each protocol."""
    folder = tmp_path_factory.mktemp("mail")
    shown = {name: getattr(pki, name) for name in ("good", "expired", "wrong_name")}
    with (
        postfix(folder, shown) as smtp,
        dovecot(folder, pki.good) as good,
        dovecot(folder, pki.expired) as expired,
        dovecot(folder, pki.wrong_name) as wrong_name,
    ):
        boxes = {"good": good, "expired": expired, "wrong_name": wrong_name}
        yield {
            "plain": smtp.plain,
            "smtp": smtp.starttls,
            "submissions": smtp.submissions,
            "imaps": {name: box.imaps for name, box in boxes.items()},
            "pop3s": {name: box.pop3s for name, box in boxes.items()},
        }


@pytest.mark.real
@pytest.mark.parametrize("protocol", PHASES)
async def test_real_server(env, mail_ports, pki, protocol):
    """Postfix and dovecot are up: every phase is timed, and nothing stays open."""
    before = open_files()
    name = f"127.0.0.1:{mail_ports[protocol]['good']}"
    rec = await attempt(Mail, env, name, protocol=protocol, ca_file=str(pki.ca_file))

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == PHASES[protocol]
    assert all(0 < seconds < 1 for seconds in rec.phases.values())
    assert rec.values["ssl_earliest_cert_expiry"] == pki.good.earliest_expiry
    assert rec.values.get("mail_response_code") == (221 if protocol in CODE else None)
    assert re.match(r"mail\.test ESMTP|\* OK \[|\+OK ", rec.facts["banner"])
    assert open_files() == before


@pytest.mark.real
@pytest.mark.parametrize("shown", REFUSED)
@pytest.mark.parametrize("protocol", PHASES)
async def test_real_server_with_a_bad_certificate(env, mail_ports, pki, protocol, shown):
    """A bad certificate is refused for what it is, and read, behind STARTTLS too."""
    before = open_files()
    rec = await attempt(
        Mail,
        env,
        f"127.0.0.1:{mail_ports[protocol][shown]}",
        protocol=protocol,
        ca_file=str(pki.ca_file),
        server_name="portal.test",
    )

    assert (rec.failure, rec.detail) == REFUSED[shown]
    assert rec.current_phase == "tls"
    assert "tls" not in rec.phases
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry
    assert rec.facts["certificate_issuer"] == "CN=Test CA"
    assert open_files() == before


@pytest.mark.real
async def test_real_server_without_tls(env, mail_ports):
    """Postfix without TLS offers none; where the check does not ask for it, it is up."""
    name = f"127.0.0.1:{mail_ports['plain']}"
    rec = await attempt(Mail, env, name, protocol="smtp")

    assert rec.failure is Failure.NOT_OFFERED
    assert rec.detail == "found no STARTTLS in the reply to EHLO"
    assert rec.values == {"ip_protocol": 4, "mail_response_code": 250}

    rec = await attempt(Mail, env, name, protocol="smtp", starttls="none")

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "connect", "banner", "capability", "quit"]
    assert rec.values == {"ip_protocol": 4, "mail_response_code": 221}


@pytest.mark.real
async def test_the_wrong_protocol(env, mail_ports, pki):
    """A server of another protocol is told by what it said."""
    name = f"127.0.0.1:{mail_ports['pop3s']['good']}"
    rec = await attempt(Mail, env, name, protocol="imaps", ca_file=str(pki.ca_file))

    assert rec.failure is Failure.MALFORMED
    assert rec.detail == "found '+OK Dovecot (Debian) ready.', expected * OK"


def smtp(
    *,
    banner=b"220 mx.example.test ESMTP\r\n",
    ehlo=b"250-mx.example.test\r\n250-SIZE 10240000\r\n250 STARTTLS\r\n",
    starttls=b"220 2.0.0 Ready\r\n",
    quit_=b"221 Bye\r\n",
    context=None,
    heard=None,
):
    """Return an act that speaks SMTP with these replies; None hangs up instead."""
    replies = {"EHLO": ehlo, "STARTTLS": starttls, "QUIT": quit_}

    async def act(reader, writer):
        writer.write(banner)
        while line := (await reader.readline()).decode():
            if heard is not None:
                heard.append(line)
            reply = replies[line.split()[0]]
            if reply is None:
                return
            writer.write(reply)
            if line == "STARTTLS\r\n":
                await (writer.start_tls(context) if context else silent(reader, writer))

    return act


async def test_what_is_said(env, pki):
    """EHLO, STARTTLS, EHLO, QUIT: no letter, no login; EHLO gives our address on the line."""
    heard = []
    act = smtp(context=server_context(pki.good), heard=heard)
    async with serve(act) as port:
        rec = await attempt(
            Mail,
            env,
            f"127.0.0.1:{port}",
            source=Source(address="127.0.0.2"),
            protocol="smtp",
            ca_file=str(pki.ca_file),
        )

    assert rec.failure is None
    hello = "EHLO [127.0.0.2]\r\n"
    assert heard == [hello, "STARTTLS\r\n", hello, "QUIT\r\n"]


async def test_ipv6(env):
    """Over IPv6 the address is written as SMTP wants it."""
    heard = []
    async with serve(smtp(heard=heard), host="::1") as port:
        rec = await attempt(Mail, env, f"[::1]:{port}", protocol="smtp", starttls="none")

    assert rec.failure is None
    assert heard == ["EHLO [IPv6:::1]\r\n", "QUIT\r\n"]


async def test_banner_of_several_lines(env):
    """A banner may have several lines; the first is kept."""
    async with serve(smtp(banner=b"220-mx one\r\n220 mx two\r\n")) as port:
        rec = await attempt(Mail, env, f"127.0.0.1:{port}", protocol="smtp", starttls="none")

    assert rec.failure is None
    assert rec.facts["banner"] == "mx one"


NOT_ASKED = "found 14 bytes after the reply that nobody asked for"
HUNG_UP = "the server closed the connection before it had answered"
NO_STARTTLS = "found no STARTTLS in the reply to EHLO"


@pytest.mark.parametrize(
    ("said", "verdict", "phase", "code"),
    [
        (
            {"banner": b"554 5.7.1 refused\r\n"},
            (Failure.STATUS, "found 554 5.7.1 refused, expected 220"),
            "banner",
            554,
        ),
        (
            {"banner": b"421 4.3.2 busy\r\n"},
            (Failure.STATUS, "found 421 4.3.2 busy, expected 220"),
            "banner",
            421,
        ),
        (
            {"banner": b"SSH-2.0-OpenSSH_9.2\r\n"},
            (Failure.MALFORMED, "found 'SSH-2.0-OpenSSH_9.2', expected a reply such as 220"),
            "banner",
            None,
        ),
        (
            {"banner": b"220-mx\r\n250 mx\r\n"},
            (Failure.MALFORMED, "found '250 mx', expected another line of 220"),
            "banner",
            None,
        ),
        (
            {"banner": b"220 mx\r\n250 injected\r\n"},
            (Failure.MALFORMED, NOT_ASKED),
            "capability",
            220,
        ),
        (
            {"banner": b"220-" + b"x" * 9000},
            (Failure.TOO_LARGE, "a line is longer than 8192 bytes"),
            "banner",
            None,
        ),
        (
            {"banner": b"220-x\r\n" * 300},
            (Failure.TOO_LARGE, "the replies have more than 200 lines"),
            "banner",
            None,
        ),
        (
            {"ehlo": b"502 5.5.1 what\r\n"},
            (Failure.STATUS, "found 502 5.5.1 what, expected 250"),
            "capability",
            502,
        ),
        (
            {"ehlo": b"250-mx\r\n250 SIZE 1\r\n"},
            (Failure.NOT_OFFERED, NO_STARTTLS),
            "starttls",
            250,
        ),
        (
            {"ehlo": b"250-mx\r\n250 XXXXXXXA\r\n"},
            (
                Failure.NOT_OFFERED,
                f"{NO_STARTTLS} but XXXXXXXA: a firewall on the way writes over it",
            ),
            "starttls",
            250,
        ),
        ({"ehlo": None}, (Failure.CLOSED, HUNG_UP), "capability", 220),
        (
            {"starttls": b"454 4.7.0 TLS not available\r\n"},
            (Failure.STATUS, "found 454 4.7.0 TLS not available, expected 220"),
            "starttls",
            454,
        ),
        (
            {"starttls": b"220 Ready\r\n250 injected\r\n"},
            (Failure.MALFORMED, NOT_ASKED),
            "starttls",
            220,
        ),
    ],
)
async def test_bad_server(env, said, verdict, phase, code):
    """Each way to go wrong has its word, its phase and its code; nothing stays open."""
    before = open_files()
    async with serve(smtp(**said)) as port:
        rec = await attempt(Mail, env, f"127.0.0.1:{port}", seconds=2, protocol="smtp")

    assert (rec.failure, rec.detail) == verdict
    assert rec.current_phase == phase
    assert rec.values.get("mail_response_code") == code
    assert "tls" not in rec.phases
    assert open_files() == before


async def test_goodbye_without_an_answer(env, pki):
    """A server that hangs up on QUIT has done its work; the goodbye was not measured."""
    act = smtp(quit_=None, context=server_context(pki.good))
    async with serve(act) as port:
        rec = await attempt(
            Mail, env, f"127.0.0.1:{port}", protocol="smtp", ca_file=str(pki.ca_file)
        )

    assert rec.failure is None
    assert "quit" not in rec.phases
    assert rec.values["mail_response_code"] == 250


async def resets(reader, writer):
    """Break the connection at once."""
    break_off(writer)


@pytest.mark.parametrize(
    ("act", "failure", "protocol", "phase"),
    [
        (silent, Failure.TIMEOUT, "smtp", "banner"),
        (silent, Failure.TIMEOUT, "imaps", "tls"),
        (resets, Failure.RESET, "smtp", "banner"),
        (smtp(starttls=b""), Failure.TIMEOUT, "smtp", "starttls"),
        (smtp(), Failure.TIMEOUT, "smtp", "tls"),
        (smtp(), Failure.TLS_HANDSHAKE, "submissions", "tls"),
    ],
)
async def test_no_session(env, act, failure, protocol, phase):
    """A server that hangs or breaks off does so in a phase, within the deadline."""
    before = open_files()
    async with serve(act) as port:
        rec = await attempt(Mail, env, f"127.0.0.1:{port}", seconds=0.3, protocol=protocol)

    assert rec.failure is failure
    assert rec.current_phase == phase
    assert "ssl_earliest_cert_expiry" not in rec.values
    assert open_files() == before


async def test_refused(env):
    """A port without a listener is refused."""
    rec = await attempt(Mail, env, f"127.0.0.1:{free_port()}", protocol="smtp")

    assert rec.failure is Failure.REFUSED
    assert list(rec.phases) == ["resolve"]


async def test_certificate_that_cannot_be_read_again(env, pki):
    """A server that has no second session for us changes nothing: the certificate was refused."""
    met = []
    once = smtp(context=server_context(pki.expired))
    busy = smtp(banner=b"421 too many connections\r\n")

    async def act(reader, writer):
        met.append(writer)
        await (once if len(met) == 1 else busy)(reader, writer)

    before = open_files()
    async with serve(act) as port:
        rec = await attempt(
            Mail, env, f"127.0.0.1:{port}", protocol="smtp", ca_file=str(pki.ca_file)
        )

    assert rec.failure is Failure.TLS_EXPIRED
    assert len(met) == 2
    assert rec.values == {"ip_protocol": 4, "mail_response_code": 220}
    assert open_files() == before


def says(*turns):
    """Return an act that says its first turn, and each other one when a line has come."""

    async def act(reader, writer):
        writer.write(turns[0])
        for turn in turns[1:]:
            await reader.readline()
            writer.write(turn)
        writer.close()
        await writer.wait_closed()

    return act


IMAP = b"* CAPABILITY IMAP4rev1\r\na1 OK\r\n"
GOOD = (None, "")


@pytest.mark.parametrize(
    ("protocol", "turns", "verdict"),
    [
        ("imaps", (b"* OK ready\r\n", IMAP, b"* BYE\r\na2 OK\r\n"), GOOD),
        ("imaps", (b"* PREAUTH ready\r\n", IMAP, b"* BYE\r\na2 OK\r\n"), GOOD),
        ("imaps", (b"* OK hangs up on LOGOUT\r\n", IMAP), GOOD),
        (
            "imaps",
            (b"* BYE too many connections\r\n",),
            (Failure.STATUS, "found * BYE too many connections, expected * OK"),
        ),
        (
            "imaps",
            (b"* OK\r\n", b"* BYE going down\r\n"),
            (Failure.STATUS, "found * BYE going down, expected a1 OK"),
        ),
        (
            "imaps",
            (b"* OK\r\n", b"a1 BAD no\r\n"),
            (Failure.STATUS, "found a1 BAD no, expected a1 OK"),
        ),
        (
            "imaps",
            (b"* OK\r\n", b"a1 OK\r\n"),
            (Failure.MALFORMED, "found no capabilities, expected * CAPABILITY"),
        ),
        ("imaps", (b"* OK\r\n", b"* CAPABILITY"), (Failure.CLOSED, HUNG_UP)),
        ("pop3s", (b"+OK\r\n", b"+OK\r\nUIDL\r\n.\r\n", b"+OK\r\n"), GOOD),
        ("pop3s", (b"+OK\r\n", b"-ERR unknown\r\n", b"+OK\r\n"), GOOD),
        ("pop3s", (b"-ERR busy\r\n",), (Failure.STATUS, "found -ERR busy, expected +OK")),
        ("pop3s", (b"+OK\r\n", b"+OK\r\nUIDL\r\n"), (Failure.CLOSED, HUNG_UP)),
        (
            "pop3s",
            (b"+OK\r\n", b"+OK\r\n" + b"X\r\n" * 300),
            (Failure.TOO_LARGE, "the replies have more than 200 lines"),
        ),
    ],
)
async def test_mailboxes(env, pki, protocol, turns, verdict):
    """IMAP and POP3 servers are judged by what they say, without a login."""
    before = open_files()
    async with serve(says(*turns), tls=pki.good) as port:
        rec = await attempt(
            Mail, env, f"127.0.0.1:{port}", protocol=protocol, ca_file=str(pki.ca_file)
        )

    assert (rec.failure, rec.detail) == verdict
    assert set(rec.values) == {"ip_protocol", "ssl_earliest_cert_expiry"}
    assert open_files() == before


async def test_name_that_is_not_known():
    """A name without an address is a failure of resolving."""

    async def resolve(host, ip_version):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    rec = await attempt(Mail, Env(resolve=resolve), "nowhere.test:25", protocol="smtp")

    assert rec.failure is Failure.RESOLVE_FAILED
    assert rec.phases == {}


async def test_ca_file_that_is_none(env, tmp_path):
    """Issuers that cannot be read are our error, and nobody is called for it."""
    with pytest.raises(ProbeError) as caught:
        await attempt(Mail, env, "127.0.0.1:9", protocol="smtp", ca_file=str(tmp_path / "none"))

    assert str(caught.value).startswith(f"ca_file {tmp_path}/none: expected certificates as PEM")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Object missing required field `protocol`"),
        (
            {"protocol": "imaps", "starttls": "none"},
            "starttls: expected only with protocol smtp; imaps is always TLS",
        ),
        (
            {"protocol": "smtp", "server_name": ".mx"},
            "server_name '.mx': expected a host name with labels of 1 to 63 characters",
        ),
    ],
)
def test_params(params, message):
    """What cannot be is refused when it is configured."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, MailParams)

    assert str(caught.value) == message


def test_targets():
    """A target needs its port: each protocol has more than one."""
    params = MailParams(protocol="smtp")
    assert not Mail.refuse_target("mx.test:25", params)
    expected = "expected host:port, or [address]:port for IPv6"
    assert Mail.refuse_target("mx.test", params) == expected


@asynccontextmanager
async def tried(pki):
    """Offer a good server, and one that is busy."""
    params = {"protocol": "smtp", "ca_file": str(pki.ca_file)}
    good, busy = smtp(context=server_context(pki.good)), smtp(banner=b"421 4.3.2 busy\r\n")
    async with serve(good) as up, serve(busy) as down:
        yield Tried(f"127.0.0.1:{up}", params), Tried(f"127.0.0.1:{down}", params)
