"""The collector as a process: its commands, its signals, its death."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from collector.config import read_collector_file
from collector.ingest.chain import verify
from collector.ingest.journal import Journal
from tests.collector.ingest.pushes import BOOT, batch, zipped
from tests.collector.inventory import folders
from tests.pki import issue, make_authority
from tests.waiting import until, until_sync

ROOT = Path(__file__).parents[2]
AGENT = "04792"


@pytest.fixture
def home(tmp_path):
    """Return a folder with a province and a collector.yml that listens on a port of its own."""
    folders.write(tmp_path)
    (tmp_path / "collector.yml").write_text(
        "province: mau\nstate_directory: state\nlisten: {port: 0}\n"
    )
    return tmp_path


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "collector", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def agent(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command about agents."""
    action, *rest = words
    return command("agent", action, "-c", str(home / "collector.yml"), *rest)


@contextmanager
def running(home: Path) -> Iterator[tuple[subprocess.Popen, str, Path]]:
    """Run a collector; yield its process, address and log."""
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "collector", "run", "-c", str(home / "collector.yml")],
            cwd=ROOT,
            stderr=out,
        )
    try:
        found = until_sync(
            lambda: (
                process.poll() is not None
                or re.search(r"listening url=(\S+)", log.read_text("utf-8"))
            ),
            seconds=20,
            what="listening",
        )
        assert isinstance(found, re.Match), log.read_text("utf-8")
        yield process, found[1], log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def status(url: str, path: str, **kwargs) -> int:
    """Return the status of a path."""
    try:
        with urllib.request.urlopen(url + path, **kwargs) as answer:
            return answer.status
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code


def test_an_agent_is_let_in_and_kept_out_from_the_command_line(home):
    """Add prints the token alone; rotate gives grace; revoke ends all; list tells, without secrets."""
    added = agent(home, "add", AGENT)
    assert (added.returncode, added.stderr) == (0, "")
    assert re.fullmatch(r"ts1\.04792\.[\w-]{43}\n", added.stdout)
    again = agent(home, "add", AGENT)
    assert (again.returncode, again.stdout, again.stderr) == (
        1,
        "",
        "agent '04792' has a token; use rotate, or revoke it first\n",
    )
    rotated = agent(home, "rotate", AGENT, "--grace-hours", "1")
    assert rotated.stdout.startswith("ts1.04792.")
    listed = agent(home, "list").stdout.splitlines()
    assert listed[0].split() == ["agent", "created", "last", "used", "state"]
    assert [line.split()[0] for line in listed[1:]] == [AGENT, AGENT]
    assert re.search(r"never +replaced, valid until \d{4}-\d\d-\d\d \d\d:\d\dZ$", listed[1])
    assert re.search(r"never +valid$", listed[2])
    revoked = agent(home, "revoke", AGENT)
    assert (revoked.returncode, revoked.stderr) == (0, "04792: 2 valid tokens revoked\n")
    assert agent(home, "list").stdout.count("revoked") == 2
    assert added.stdout.strip().rsplit(".", 1)[1] not in "".join(listed)


def test_a_province_is_checked_from_the_command_line(home):
    """What is right is told in words, exit 0; what is wrong is listed whole, exit 2."""
    good = command("check-config", str(home / "mau"))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("Tỉnh Mẫu (mau): nothing to mend\n")
    one = command("check-config", str(home / "mau"), "--agent", AGENT)
    assert "04792" in one.stdout
    (home / "mau" / "province.yml").write_text("name: 5\n", "utf-8")
    (home / "mau" / "extra.csv").touch()
    bad = command("check-config", str(home / "mau"))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert len(bad.stderr.splitlines()) > 2
    assert "Traceback" not in bad.stderr


def test_a_wrong_collector_yml_ends_with_2_and_all_its_mistakes(home):
    """Nothing starts; every line to mend is told."""
    (home / "collector.yml").write_text("province: nowhere\nstate_directory: state\nurl: x\n")
    ended = command("run", "-c", str(home / "collector.yml"))
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"collector.yml line 1, province: {home}/nowhere is no folder",
        "collector.yml line 3, url: found 'x', expected https://…",
    ]


def test_a_second_collector_on_the_same_state_does_not_start(home):
    """Two writers of one journal would each think to be the only one."""
    with running(home):
        ended = command("run", "-c", str(home / "collector.yml"))
        assert (ended.returncode, ended.stderr) == (
            1,
            f"{home}/state: another collector is running on this folder\n",
        )


def test_a_port_that_is_taken_is_told_in_one_line(home):
    """The address that cannot be had, and why; exit 1."""
    with running(home) as (_, url, _):
        other = home / "other.yml"
        other.write_text(
            f"province: mau\nstate_directory: other\nlisten: {{port: {url.rsplit(':', 1)[1]}}}\n"
        )
        ended = command("run", "-c", str(other))
        assert ended.returncode == 1
        assert "address already in use" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr


def test_a_state_that_is_none_is_told_in_one_line(home):
    """A damaged file is not overwritten: a person has to see it."""
    (home / "state").mkdir()
    (home / "state" / "journal.sqlite").write_bytes(b"no database at all" * 1_000)
    ended = command("run", "-c", str(home / "collector.yml"))
    assert (ended.returncode, ended.stderr) == (
        1,
        f"{home}/state: cannot be used: file is not a database\n",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end(home, number):
    """SIGTERM and SIGINT end it with 0, the journal closed and folded into one file."""
    with running(home) as (process, url, log):
        assert status(url, "/-/healthy") == 200
        process.send_signal(number)
        assert process.wait(10) == 0
        assert "INFO collector.serve stopping" in log.read_text("utf-8")
    assert not (home / "state" / "journal.sqlite-wal").exists()


def test_sighup_reads_the_province_again(home):
    """A good folder comes into force; a bad one is told line by line, and the old one stays."""
    with running(home) as (process, _, log):
        checks = home / "mau" / "checks.yml"
        checks.write_text(
            folders.CHECKS.replace("timeout_seconds: 2", "timeout_seconds: 3"), "utf-8"
        )
        process.send_signal(signal.SIGHUP)
        until_sync(lambda: "province read again" in log.read_text("utf-8"), what="read again")
        checks.write_text("checks: 5\nmore: 1\n", "utf-8")
        process.send_signal(signal.SIGHUP)
        until_sync(
            lambda: log.read_text("utf-8").count("province refused, the one before stays") >= 2,
            what="refused",
        )
        assert process.poll() is None
        checks.write_text(folders.CHECKS, "utf-8")
        process.send_signal(signal.SIGHUP)
        until_sync(
            lambda: log.read_text("utf-8").count("province read again") == 2, what="read again"
        )


def test_https_with_a_certificate_that_is_renewed(home):
    """SIGHUP takes the files anew without a pause; files that are no pair change nothing."""
    authority = make_authority("Test CA")
    first, _ = issue(home / "first", authority), issue(home / "second", authority)
    (home / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(cafile=home / "ca.pem")
    (home / "collector.yml").write_text(
        "province: mau\nstate_directory: state\nlisten: {port: 0}\n"
        "tls: {certificate: first.pem, key: first.key}\n"
    )
    with running(home) as (process, url, log):
        assert status(url, "/-/healthy", context=context) == 200
        shown = shown_by(url, context)
        for name in ("pem", "key"):
            (home / f"second.{name}").replace(home / f"first.{name}")
        process.send_signal(signal.SIGHUP)
        until_sync(lambda: shown_by(url, context) != shown, what="the new certificate")
        shown = shown_by(url, context)
        first.key.write_bytes(b"")
        process.send_signal(signal.SIGHUP)
        until_sync(lambda: "certificate refused" in log.read_text("utf-8"), what="refused")
        assert shown_by(url, context) == shown
    ended = command("run", "-c", str(home / "collector.yml"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"tls: {first.cert} cannot be used: ")
    assert len(ended.stderr.splitlines()) == 1


def shown_by(url: str, context: ssl.SSLContext) -> bytes:
    """Return the certificate a server shows."""
    port = int(url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="portal.test") as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return shown


@pytest.mark.parametrize("round_", range(2))
async def test_nothing_acknowledged_is_lost_by_kill_9(home, round_):
    """Killed between and during pushes: what was acknowledged is there, and goes on from there."""
    token = (await asyncio.to_thread(agent, home, "add", AGENT)).stdout.strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Encoding": "gzip"}
    acknowledged: set[int] = set()

    async def push(session: aiohttp.ClientSession, url: str, seq: int) -> None:
        async with session.post(
            f"{url}/api/v1/batches", data=zipped(batch(seq)), headers=headers
        ) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            for first, last in body["acks"][0]["ranges"]:
                acknowledged.update(range(first, last + 1))

    async def pushes(url: str, first: int) -> None:
        async with aiohttp.ClientSession() as session:
            for seq in range(first, first + 10_000, 4):
                await asyncio.gather(*(push(session, url, seq + n) for n in range(4)))

    for life in range(2):
        with running(home) as (process, url, _):
            task = asyncio.create_task(pushes(url, 1 + 20_000 * life))
            wanted = len(acknowledged) + 30 + 7 * round_
            await until(
                lambda: task.done() or len(acknowledged) > wanted,  # noqa: B023 - awaited here
                seconds=20,
                what="acknowledgements",
            )
            assert not task.done()
            process.kill()
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await task
    journal = Journal(home / "state" / "journal.sqlite", time.time)
    kept = {one.seq for one in await journal.read(0, 100_000)}
    ranges = list(await journal.ranges(AGENT, BOOT))
    await journal.close()
    assert acknowledged <= kept
    assert sum(last - first + 1 for first, last in ranges) == len(kept)
    assert verify(home / "state" / "journal.sqlite").entries == len(kept)


def test_commands_say_what_they_are(home):
    """--version and --help answer; nothing is created by asking."""
    assert command("--version").stdout.startswith("thongsuot-collector ")
    for words in ((), ("agent",), ("agent", "rotate")):
        told = command(*words, "--help")
        assert (told.returncode, told.stderr) == (0, "")
    assert command("agent", "rotate", AGENT, "--grace-hours", "-1").returncode == 2
    assert not (home / "state").exists()


def test_the_example_is_one_that_is_read(tmp_path):
    """configs/collector.example.yml is right as it stands, once its files are there."""
    text = (ROOT / "configs" / "collector.example.yml").read_text("utf-8")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    for name in ("bridge.secret", "remote.token"):
        (tmp_path / name).write_text("0123456789abcdef")
    authority = make_authority("CA").certificate.public_bytes(Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(authority)
    (tmp_path / "phu-tho").mkdir()
    (tmp_path / "collector.yml").write_text(text, "utf-8")
    config = read_collector_file(tmp_path / "collector.yml")
    assert config.tls is not None
    assert [one.name for one in config.remote_write] == ["prometheus"]


def test_the_state_is_for_its_owner_only(home):
    """Nobody else on the machine may read tokens, journal or incidents."""
    with running(home) as (_, url, _):
        assert json.loads(urllib.request.urlopen(url + "/sd").read())
        for path in [home / "state", *(home / "state").iterdir()]:
            assert path.stat().st_mode & 0o077 == 0, path
