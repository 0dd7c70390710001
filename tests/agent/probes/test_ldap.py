"""A directory answers the one question that needs no account, or says why it does not."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.ldap import Ldap, question, read_message, read_operation, read_result
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import break_off, serve, silent
from tests.agent.probes.tries import Tried
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

ENTRY = bytes.fromhex("3009020101640404003000")
DONE = bytes.fromhex("300c02010165070a010004000400")


@dataclass(frozen=True, slots=True)
class Slapd:
    """OpenLDAP's slapd, a real directory, empty but for its root entry."""

    pid: int
    port: int
    tls_port: int


@contextmanager
def slapd(folder, shown, options=""):
    """Run it, plain and with TLS; `options` are lines of slapd.conf."""
    folder.mkdir()
    port, tls_port = free_port(), free_port()
    (folder / "slapd.conf").write_text(
        "include /etc/ldap/schema/core.schema\n"
        f"pidfile {folder}/pid\nargsfile {folder}/args\n"
        f"TLSCertificateFile {shown.cert}\nTLSCertificateKeyFile {shown.key}\n{options}",
        "utf-8",
    )
    urls = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
    command = [program("slapd"), "-f", str(folder / "slapd.conf"), "-h", urls, "-d", "0"]
    with running(command, log=folder / "log") as process:
        until_sync(lambda: listening("127.0.0.1", tls_port), seconds=20, what="slapd listens")
        yield Slapd(process.pid, port, tls_port)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, pki):
    """Run a slapd."""
    with slapd(tmp_path_factory.mktemp("slapd") / "home", pki.good) as running:
        yield running


@pytest.mark.real
async def test_slapd_answers(env, directory):
    """The root entry of a real directory, plain."""
    rec = await attempt(Ldap, env, f"127.0.0.1:{directory.port}")

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == ["resolve", "connect", "search"]
    assert rec.values == {"ip_protocol": 4, "ldap_result_code": 0, "ldap_entries": 1}


@pytest.mark.real
async def test_slapd_answers_within_tls(env, directory, pki):
    """And over TLS, with the certificate's last day."""
    rec = await attempt(
        Ldap, env, f"127.0.0.1:{directory.tls_port}", tls=True, ca_file=str(pki.ca_file)
    )

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "connect", "tls", "search"]
    assert rec.values["ssl_earliest_cert_expiry"] == pki.good.earliest_expiry


@pytest.mark.real
async def test_slapd_that_wants_an_account(env, tmp_path, pki):
    """A directory that answers only who has signed in says so: alive, and not as asked."""
    with slapd(tmp_path / "home", pki.good, "require bind\n") as shut:
        rec = await attempt(Ldap, env, f"127.0.0.1:{shut.port}")

    assert rec.failure == Failure.STATUS
    assert rec.detail.startswith("found result code ")
    assert rec.values["ldap_result_code"] > 0


@pytest.mark.real
async def test_slapd_that_hangs(env, directory):
    """Stopped, its kernel still takes the connection: the deadline cuts off, the phase is named."""
    os.kill(directory.pid, signal.SIGSTOP)
    try:
        rec = await attempt(Ldap, env, f"127.0.0.1:{directory.port}", seconds=0.3)
    finally:
        os.kill(directory.pid, signal.SIGCONT)

    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "search")
    assert rec.values == {"ip_protocol": 4}


@pytest.mark.real
async def test_certificate_of_another(env, tmp_path, pki):
    """Not trusted: refused before anything is asked."""
    with slapd(tmp_path / "home", pki.untrusted) as other:
        rec = await attempt(
            Ldap, env, f"127.0.0.1:{other.tls_port}", tls=True, ca_file=str(pki.ca_file)
        )

    assert rec.failure == Failure.TLS_UNTRUSTED
    assert "ldap_result_code" not in rec.values


def saying(*parts):
    """Return an act that waits for the question and says its parts."""

    async def act(reader, writer):
        await reader.readexactly(len(question()))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read(-1)

    return act


async def test_refused(env):
    """Nobody listens."""
    rec = await attempt(Ldap, env, f"127.0.0.1:{free_port()}")

    assert (rec.failure, rec.current_phase) == (Failure.REFUSED, "connect")


async def test_reset(env):
    """Broken off instead of answered."""

    async def act(reader, writer):
        await reader.readexactly(len(question()))
        break_off(writer)

    async with serve(act) as port:
        rec = await attempt(Ldap, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.current_phase) == (Failure.RESET, "search")


async def test_closed(env):
    """Ended in the middle of the answer."""

    async def act(reader, writer):
        await reader.readexactly(len(question()))
        writer.write(DONE[:5])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serve(act) as port:
        rec = await attempt(Ldap, env, f"127.0.0.1:{port}")

    assert rec.failure == Failure.CLOSED
    assert "the connection was closed before the answer" in rec.detail


async def test_slow_pieces(env):
    """An answer that comes byte by byte is an answer."""
    whole = ENTRY + DONE
    async with serve(saying(*(whole[at : at + 1] for at in range(len(whole))))) as port:
        rec = await attempt(Ldap, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values["ldap_entries"] == 1


@pytest.mark.parametrize(
    ("answer", "failure", "detail"),
    [
        (
            b"HTTP/1.1 400 Bad\r\n\r\n",
            Failure.MALFORMED,
            "found tag 0x48, expected a message (0x30)",
        ),
        (
            DONE[:4] + b"\2" + DONE[5:],
            Failure.MALFORMED,
            "found message 2, expected 1",
        ),
        (
            bytes.fromhex("300c02010161070a010004000400"),
            Failure.MALFORMED,
            "found operation 0x61, expected an answer to a search",
        ),
        (
            bytes.fromhex("308500000000ff"),
            Failure.MALFORMED,
            "a length of 5 octets, expected 1 to 4",
        ),
        (
            bytes.fromhex("300c02010165090a010004000400"),
            Failure.MALFORMED,
            "an element reaches beyond its message",
        ),
        (bytes.fromhex("300c02010165070a000004000400"), Failure.MALFORMED, None),
        (DONE, Failure.NOT_OFFERED, "the answer holds no root entry"),
        (
            bytes.fromhex("3014020101650f0a01320400040873746179206f7574"),
            Failure.STATUS,
            "found result code 50, expected 0: stay out",
        ),
        (
            bytes.fromhex("300c02010078070a013404000400"),
            Failure.CLOSED,
            "the directory says that it is leaving",
        ),
        (
            bytes.fromhex("3084000fffff") + bytes(70_000),
            Failure.TOO_LARGE,
            "more than 65536 bytes",
        ),
    ],
)
async def test_odd_answers(env, answer, failure, detail):
    """Each wrong answer has its word; no code is reported that was not read."""
    async with serve(saying(answer)) as port:
        rec = await attempt(Ldap, env, f"127.0.0.1:{port}")

    assert rec.failure == failure
    if detail is not None:
        assert rec.detail == detail
    if failure == Failure.MALFORMED:
        assert "ldap_result_code" not in rec.values


async def test_silence(env):
    """Taken, and never answered; nothing stays open."""
    files = open_files()
    async with serve(silent) as port:
        rec = await attempt(Ldap, env, f"127.0.0.1:{port}", seconds=0.3)

    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "search")
    assert open_files() == files


@given(st.binary(max_size=60))
def test_reading_anything_is_safe(data):
    """Only ValueError leaves, whatever came."""
    for read in (read_message, read_operation, read_result):
        try:
            read(data)
        except ValueError:
            continue


@asynccontextmanager
async def tried(pki):
    """Be a directory that answers, and one that will not."""
    refusal = bytes.fromhex("300c02010165070a013204000400")
    params = {"tls": True, "ca_file": str(pki.ca_file)}
    async with (
        serve(saying(ENTRY, DONE), tls=pki.good) as good,
        serve(saying(refusal), tls=pki.good) as shut,
    ):
        yield Tried(f"127.0.0.1:{good}", params), Tried(f"127.0.0.1:{shut}", params)
