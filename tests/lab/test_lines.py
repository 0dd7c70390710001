"""Lines of an office, measured separately at the same time by a real agent."""

import asyncio
import socket
import time

import pytest

from agent.wire import Failure
from tests.lab.box import CARRIERS, DATA_CENTRE, INTERNET, TSLCD_ONLY
from tests.lab.namespaces import inside
from tests.lab.reporting import SITE, reporting
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]

EACH = (
    f"kind: icmp\nline: each\ntargets: [{DATA_CENTRE}]\nparams: {{count: 1}}",
    f"kind: tcp\nline: each\ntargets: ['{DATA_CENTRE}:5432']",
)
ALL_UP = {carrier: {"up"} for carrier in CARRIERS}


@pytest.fixture(autouse=True)
def database(province):
    """Have the kernel of the data centre take connections to port 5432, under both addresses."""
    with inside(province.dc), socket.create_server(("0.0.0.0", 5432), backlog=1000):
        yield


@pytest.mark.parametrize("how", ["port", "interface", "pinned"])
async def test_a_dead_carrier_fails_its_own_line_only(province, tmp_path, how):
    """Up but dead: each sample of that line fails and no other; afterwards all are well again."""
    office = province.offices[0]
    async with reporting(province, office, tmp_path, office.lines(how), EACH) as reports:
        await until(lambda: reports.states() == ALL_UP, seconds=30)
        with province.dead("vnpt"):
            cut = time.time()
            dead = {"vnpt": {"down"}, "viettel": {"up"}, "tslcd": {"up"}}
            await until(lambda: reports.states() == dead, seconds=10)
            found_down = time.time() - cut
            await asyncio.sleep(2)
            healed = time.time()
        await until(lambda: reports.states() == ALL_UP, seconds=20)
        await asyncio.to_thread(reports.agent.stop)
        samples = await reports.samples()

    during = {line: [] for line in CARRIERS}
    for sample in samples:
        began = sample.start.wall_ms / 1e3
        assert not sample.error
        if cut < began and began + sample.duration < healed:
            during[sample.line].append(sample.failure)
        elif began > healed + 1.5 or began + sample.duration < cut:
            assert sample.failure is None, sample
    print(f"{how}: down after {found_down:.1f} s; {[(n, len(s)) for n, s in during.items()]}")
    assert set(during["vnpt"]) == {Failure.TIMEOUT}
    assert set(during["viettel"]) == set(during["tslcd"]) == {None}
    assert all(len(found) >= 4 for found in during.values())


async def test_what_must_not_be_reached(province, tmp_path):
    """Silence over the Internet is right, and an answer is the failure; TSLCD itself must answer."""
    office = province.offices[0]
    checks = [
        f"kind: tcp\nline: vnpt\nexpect: unreachable\ntargets: ['{TSLCD_ONLY}:5432']",
        f"kind: icmp\nline: vnpt\nexpect: unreachable\ntargets: [{TSLCD_ONLY}]",
        f"kind: tcp\nline: tslcd\ntargets: ['{TSLCD_ONLY}:5432']",
    ]
    async with reporting(province, office, tmp_path, office.lines("port"), checks) as reports:
        both_up = {"vnpt": {"up"}, "tslcd": {"up"}}
        await until(lambda: reports.states() == both_up, seconds=30)
        with province.leaking():
            await until(lambda: reports.states()["vnpt"] == {"down"}, seconds=10)
        down = [sample for sample in await reports.samples() if sample.failure]
        await until(lambda: reports.states() == both_up, seconds=30)

    assert {(sample.failure, sample.line) for sample in down} == {(Failure.REACHABLE, "vnpt")}
    assert {sample.detail for sample in down} == {
        "answered, although the check expects that it cannot be reached"
    }


async def test_an_office_that_cannot_choose_is_seen_passively(province, tmp_path):
    """The collector knows by the public address which carrier it is on, and judges no line."""
    office = province.offices[0]
    checks = [f"kind: icmp\ntargets: [{DATA_CENTRE}]\nparams: {{count: 1}}"]
    lines = office.lines("none", INTERNET)
    async with reporting(province, office, tmp_path, lines, checks) as reports:
        agent = reports.centre.fleet.agents[SITE]
        await until(
            lambda: agent.carrier == "vnpt" and reports.states() == {"": {"up"}}, seconds=30
        )
        assert agent.address == office.public("vnpt")
        with province.dead("vnpt"), office.moved_to("viettel"):
            await until(lambda: agent.carrier == "viettel", seconds=20)
            page = (await reports.centre.metrics(live=False, zipped=False)).decode()
        assert agent.address == office.public("viettel")

    assert all(one.push.lines == {} and one.push.via == "" for one in reports.heard)
    assert f'thongsuot_agent_info{{site="{SITE}",agent="{SITE}",carrier="viettel"}} 1\n' in page
    assert office.public("viettel") not in page
    assert "thongsuot_line_up" not in page
