"""The uplink over real lines that die in each way: how soon it goes on over the next one."""

import asyncio
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab import reporting as reporting_module
from tests.lab.box import DATA_CENTRE, INTERNET
from tests.lab.reporting import reporting

pytestmark = [pytest.mark.real, pytest.mark.slow]

MOVED_SECONDS = 2.0
"""From the cut until the collector has samples over the other line."""
ECHO = f"kind: icmp\nline: each\ntargets: [{DATA_CENTRE}]\nparams: {{count: 1}}"


@contextmanager
def without_names(province, office):
    """Let no resolver answer, and break every connection once: new ones need the centre's name."""
    with ExitStack() as stack:
        for carrier in INTERNET:
            stack.enter_context(province.without_dns(carrier))
        with province.filtered(province.core, "tcp dport 8443 reject with tcp reset"):
            time.sleep(0.05)
        yield


FAULTS = {
    "port down": lambda province, office: office.port_down("vnpt"),
    "cable out": lambda province, office: office.unplugged("vnpt"),
    "up but dead": lambda province, office: province.dead("vnpt"),
    "cut off in the core": lambda province, office: province.cut_off("vnpt"),
    "no names": without_names,
}


@pytest.mark.parametrize(
    ("how", "faults"),
    [
        ("interface", [*FAULTS]),
        ("port", ["port down", "up but dead"]),
        ("pinned", ["cable out", "up but dead"]),
    ],
)
async def test_moves_and_returns(province, tmp_path, monkeypatch, how, faults):
    """Within 2 s of the cut the collector hears of it over the other line; healed, we return."""
    office = province.offices[0]
    monkeypatch.setattr(reporting_module, "AGENT", reporting_module.AGENT_QUICK_TO_RETURN)
    lines = office.lines(how, INTERNET)
    async with reporting(province, office, tmp_path, lines, [ECHO]) as reports:
        for fault in faults:
            await reports.steady("vnpt")
            with FAULTS[fault](province, office):
                cut = time.monotonic()
                first = await reports.first_after(cut + 0.05)
                told = await reports.told_after(cut + 0.05) if fault != "no names" else first
            healed = time.monotonic()
            await reports.steady("vnpt")
            print(
                f"{how}, {fault}: heard after {first.at - cut:.2f} s over {first.push.via},"
                f" told after {told.at - cut:.2f} s: {told.push.lines['vnpt'].failing!r},"
                f" back after {time.monotonic() - healed:.1f} s"
            )
            assert first.at - cut < MOVED_SECONDS, fault
            assert told.at - cut < MOVED_SECONDS, fault
            if fault != "no names":  # there the line itself is well, and stays
                assert first.push.via == "viettel"
        await asyncio.to_thread(reports.agent.stop)
        assert await reports.complete() >= 2 * 2 * len(faults)
    log = (tmp_path / "agent.log").read_text()
    assert "line='vnpt'" in log
