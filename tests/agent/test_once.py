"""`thongsuot-agent once` and `check-config`, as real processes against real sockets."""

import asyncio
import subprocess
import sys

import msgspec
import pytest

from agent.config import Check
from agent.once import choose, left_out
from agent.probes import PROBES
from agent.wire import Sample
from tests.programs import free_port

FILE = """
agent: "04792"
collector: {{url: https://centre.example, token_file: token}}
state_directory: state
checks:
  - {{id: open, kind: tcp, targets: ["127.0.0.1:{open}"], interval_seconds: 5}}
  - {{id: may-tram, kind: pc, targets: [self], interval_seconds: 10}}
  - {{id: closed, kind: tcp, targets: ["127.0.0.1:{closed}"], interval_seconds: 5}}
"""


@pytest.fixture
async def agent_file(tmp_path):
    """Yield an agent.yml with one port that is open and one that is closed."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        path = tmp_path / "agent.yml"
        path.write_text(FILE.format(open=port, closed=free_port()))
        yield path


async def command(*words) -> subprocess.CompletedProcess[str]:
    """Run the agent's command while this loop serves."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "agent", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=30,
    )


async def test_all_well_is_0(agent_file):
    """With the checks that are fine the status is 0, and the words say so."""
    done = await command("once", "-c", agent_file, "open", "may-tram")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("ok    open  127.0.0.1:")
    assert "connect" in done.stdout
    assert "pc_agent_resident_bytes" in done.stdout


async def test_something_failed_is_1(agent_file):
    """A target that is down gives status 1 and its reason in the closed list's word."""
    done = await command("once", "-c", agent_file)

    assert (1, "") == (done.returncode, done.stderr)
    assert "FAIL  closed  127.0.0.1:" in done.stdout
    assert "      refused: in phase connect" in done.stdout


async def test_json_is_the_wires(agent_file):
    """`--json` prints one sample a line that decodes as the wire's."""
    done = await command("once", "-c", agent_file, "--json")

    found = [msgspec.json.decode(line, type=Sample) for line in done.stdout.splitlines()]
    assert [("open", True), ("may-tram", True), ("closed", False)] == [
        (sample.check, sample.up) for sample in found
    ]
    assert "refused" == found[2].failure


async def test_unknown_check_is_2(agent_file):
    """A check that is not there is the caller's mistake: status 2, with the names that are."""
    done = await command("once", "-c", agent_file, "opne")

    assert (2, "") == (done.returncode, done.stdout)
    assert "no check 'opne'; this agent has: closed, may-tram, open\n" == done.stderr


def test_what_all_sites_share_is_loaded_only_when_named():
    """Without names, checks that need the centre's leave are left out, with the reason."""
    checks = [
        Check(id=name, kind=kind, targets=["t"], interval_seconds=5.0)
        for name, kind in (("web", "http"), ("video", "media"), ("speed", "throughput"))
    ]

    chosen = choose(checks, [])

    assert ["web"] == [check.id for check in chosen]
    assert [
        f"{name} left out: {kind} loads what all sites share and runs only in a slot that the centre gives"
        for name, kind in (("video", "media"), ("speed", "throughput"))
    ] == list(left_out(checks, chosen))
    assert ["video"] == [check.id for check in choose(checks, ["video"])]


@pytest.mark.parametrize("words", [("once",), ("run",), ("check-config",)])
async def test_bad_file_is_2(agent_file, words):
    """A file with mistakes is status 2 for every command, one line each, no traceback."""
    agent_file.write_text(agent_file.read_text().replace("kind: pc", "kind: pcc"))

    done = await command(*words, "-c", agent_file)

    assert 2 == done.returncode
    assert (
        "agent.yml: check may-tram: kind is 'pcc', "
        f"expected one of {', '.join(PROBES)}\n" == done.stderr
    )


async def test_check_config_wants_the_token(agent_file):
    """`check-config` names the token that is missing and who makes it; with it, all is said."""
    missing = await command("check-config", "-c", agent_file)
    (agent_file.parent / "token").write_text("ts1.04792.secret")
    there = await command("check-config", "-c", agent_file)

    assert 2 == missing.returncode
    assert "thongsuot-collector agent add 04792" in missing.stderr
    assert (0, f"{agent_file}: agent 04792, 3 checks, 0 lines\n") == (
        there.returncode,
        there.stdout,
    )
