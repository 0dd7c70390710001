"""The scene of a failure, looked at for real: within its time, within its size, nothing left open."""

import asyncio
import time

import pytest

from agent import findings
from agent.aim import aim
from agent.config import Check
from agent.probes import net
from agent.probes.base import Source, Target
from agent.runner import Run
from agent.scene import Case, World, bounded, collect
from agent.wire import LineState
from tests.agent.probes.attempts import open_files
from tests.agent.test_evidence import a_failure


def a_case(kind="tcp", target="10.7.5.9:443", failure="timeout", params=None, **facts) -> Case:
    """Return a failure of now."""
    told = Check(id="c", kind=kind, targets=[target], params=params or {}, interval_seconds=5.0)
    run = Run(told, None, Target(target), {})
    aimed = aim(kind, target, told.params)
    assert aimed is not None
    return Case(run, a_failure(run, failure, **facts), aimed, time.monotonic())


@pytest.fixture
def world(env, tmp_path, monkeypatch):
    """Return a world with one line, and two resolvers that swallow what they are asked."""
    (tmp_path / "resolv.conf").write_text("nameserver 10.7.5.53\nnameserver 10.7.5.54\n")
    monkeypatch.setattr(net, "RESOLV_CONF", tmp_path / "resolv.conf")
    lines = {"vnpt": LineState(failing="timeout")}
    return World(env, list, lambda: lines, lambda: ["10.7.2.2"])


@pytest.mark.real
@pytest.mark.slow
async def test_a_black_hole_within_twenty_seconds(site, world):
    """Where nothing answers at all, everything is said in time, and no socket stays."""
    case = a_case("tls", "portal.test:443", "tls_handshake", address="10.7.5.9")
    files = open_files()
    begun = time.monotonic()
    facts = await collect(case, world, 20.0)

    assert time.monotonic() - begun < 8
    assert facts.pop("gateway").startswith("10.7.1.1 wan: answered in ")
    assert facts.pop("path").split("\n")[::2] == ["tcp 10.7.5.9 443", "2-20 *"]
    assert facts == {
        "address": "10.7.5.9",
        "lines": "vnpt: failing, last push never: timeout",
        "tls_chain": "not measured: timeout: TimeoutError",
        "dns": "portal.test A\n10.7.5.53: no answer\n10.7.5.54: no answer",
    }
    assert open_files() == files


@pytest.mark.real
async def test_a_part_that_hangs_costs_itself_only(site, world, monkeypatch):
    """At the deadline what is there is told, and what is not is named."""

    async def hang(_source):
        await asyncio.Event().wait()

    monkeypatch.setattr(findings, "gateway", hang)
    case = a_case("tcp", "10.7.3.9:443", "host_unreachable")
    begun = time.monotonic()
    facts = await collect(case, world, 0.5)

    assert time.monotonic() - begun < 1
    assert facts["gateway"] == "not finished in time"
    assert facts["path"].endswith(" host_unreachable")
    assert "dns" not in facts  # the target has no name


@pytest.mark.real
async def test_a_part_that_breaks_says_why(site, world, monkeypatch):
    """An exception becomes a fact."""

    def no_routes(_source):
        raise PermissionError(1, "Operation not permitted")

    async def broken(source):
        return no_routes(source)

    monkeypatch.setattr(findings, "gateway", broken)
    facts = await collect(a_case("tcp", "10.7.3.9:443"), world, 5.0)

    assert (
        facts["gateway"] == "not measured: not permitted here ([Errno 1] Operation not permitted)"
    )


@pytest.mark.real
async def test_a_name_without_an_address_is_asked_for_only(site, world):
    """No address, no path: what the resolvers say is the evidence."""
    case = a_case("http", "https://portal.test/", "resolve_failed")
    facts = await collect(case, world, 20.0)

    assert facts.keys() == {"lines", "gateway", "dns"}


@pytest.mark.real
async def test_the_line_that_is_gone(site, world):
    """A path that cannot be walked over the line says that it cannot."""
    case = a_case("tcp", "10.7.3.9:443")
    case.run.target = Target("10.7.3.9:443", "4g", Source(interface="wwan0"))
    facts = await collect(case, world, 5.0)

    assert facts["path"] == "not measured: cannot use line at wwan0: No such device"
    assert facts["gateway"] == "no default route"


@pytest.mark.real
async def test_cancelled(site, world):
    """An agent that ends leaves no socket of its evidence open."""
    files = open_files()
    task = asyncio.create_task(collect(a_case("http", "https://portal.test/"), world, 20.0))
    await asyncio.sleep(0.3)
    task.cancel()
    [result] = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result, asyncio.CancelledError)
    assert open_files() == files


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [("a\nb\nc", 5, "a\nb\nc"), ("a\nb\nc", 4, "a\nb"), ("abcdef", 4, "abcd"), ("abc\nd", 2, "ab")],
)
def test_whole_lines_within_bounds(text, most, expected):
    """What is too long ends after a line, unless one line alone is."""
    assert bounded(text, most) == expected
