"""The province in a box is what its plan says, and nothing of it is left."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from agent.probes.base import Source
from agent.probes.icmp import Icmp
from tests.agent.probes.attempts import attempt
from tests.lab.box import CARRIERS, DATA_CENTRE, INTERNET, TSLCD_ONLY, anchor, box
from tests.lab.namespaces import ETC, in_namespace, inside, processes, resolv_conf
from tests.waiting import until_sync

pytestmark = pytest.mark.real


def seen_as(office, province, source="", interface="", to=DATA_CENTRE) -> str:
    """Return the address under which the data centre sees what leaves the PC so; "" if nothing."""
    with inside(province.dc):
        taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inside(office.pc):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taker, sender:
        taker.bind((to, 0))
        taker.settimeout(0.2)
        if interface:
            sender.setsockopt(socket.SOL_SOCKET, 25, interface.encode() + b"\0")
        if source:
            sender.bind((source, 0))
        try:
            sender.connect(taker.getsockname())
            sender.send(b"who am I")
            _, (address, port) = taker.recvfrom(100)
        except OSError:
            return ""
        taker.sendto(b"you are", (address, port))
        sender.settimeout(2)
        assert sender.recv(100) == b"you are"
        return address


@pytest.mark.parametrize("carrier", CARRIERS)
def test_each_way_to_choose_a_line(province, office, carrier):
    """By the port's address, by the port, or by the address that the gateway pins."""
    public = office.public(carrier)

    assert seen_as(office, province, source=office.port(carrier)) == public
    assert seen_as(office, province, interface=carrier) == public
    assert seen_as(office, province, source=office.pinned(carrier)) == public


def test_a_line_that_is_down_borrows_no_other(province, office):
    """What is bound to it is not sent at all, and its own routes serve it again afterwards."""
    public = office.public("vnpt")
    with office.port_down("vnpt"):
        assert seen_as(office, province, source=office.port("vnpt")) == ""
        assert seen_as(office, province, interface="vnpt") == ""
        assert seen_as(office, province, source=office.pinned("vnpt")) == public
    with office.unplugged("vnpt"):
        assert seen_as(office, province, source=office.pinned("vnpt")) == ""
        assert seen_as(office, province, interface="vnpt") == ""
        assert seen_as(office, province) == office.public("viettel")
    for way in ({"source": office.port("vnpt")}, {"interface": "vnpt"}):
        assert seen_as(office, province, **way) == public


def test_the_gateway_chooses_for_the_rest(province, office):
    """VNPT, Viettel where that cable is out, VNPT again; TSLCD for what is there alone."""
    assert seen_as(office, province) == office.public("vnpt")
    assert seen_as(office, province, to=TSLCD_ONLY) == office.public("tslcd")
    with office.unplugged("vnpt"):
        assert seen_as(office, province) == office.public("viettel")
    assert seen_as(office, province) == office.public("vnpt")


def test_tslcd_is_not_reached_from_the_internet(province, office):
    """Unless the core leaks."""
    for carrier in INTERNET:
        assert seen_as(office, province, source=office.port(carrier), to=TSLCD_ONLY) == ""
        with province.leaking():
            found = seen_as(office, province, source=office.port(carrier), to=TSLCD_ONLY)
        assert found == office.public(carrier)
        assert seen_as(office, province, source=office.port(carrier), to=TSLCD_ONLY) == ""


async def test_a_carrier_that_is_dead_and_one_that_is_cut_off(province, office, env):
    """Dead: not even its anchor answers. Cut off: the anchor does. The other line is well."""
    vnpt, viettel = (Source(address=office.port(carrier)) for carrier in INTERNET)

    async def answers(target, source):
        rec = await attempt(Icmp, env, target, source=source, count=1, wait_seconds=0.3)
        return rec.failure is None

    async def all_of_them():
        return [
            await answers(target, source)
            for source, carrier in ((vnpt, "vnpt"), (viettel, "viettel"))
            for target in (anchor(carrier), DATA_CENTRE)
        ]

    assert await all_of_them() == [True] * 4
    with province.dead("vnpt"):
        assert await all_of_them() == [False, False, True, True]
    with province.cut_off("vnpt"):
        assert await all_of_them() == [True, False, True, True]
    with office.port_down("viettel"):
        assert await answers(DATA_CENTRE, vnpt)
    assert await all_of_them() == [True] * 4


async def test_a_line_of_bad_cable(province, office, env):
    """The line is laid anew with the impairments a test sets, and afterwards as before."""
    source = Source(interface="vnpt")
    with office.cabled("vnpt") as line:
        line.set(both={"delay_seconds": 0.02})
        rec = await attempt(Icmp, env, DATA_CENTRE, source=source)
        assert rec.values["icmp_duration_rtt_min_seconds"] > 0.0399
        assert line.counters().forward.taken >= 3
    rec = await attempt(Icmp, env, DATA_CENTRE, source=source)

    assert rec.values["icmp_duration_rtt_min_seconds"] < 0.02


def test_offices_do_not_see_each_other():
    """Each has its own addresses, towards carriers too; many are built in a moment."""
    begun = time.monotonic()
    with box(offices=4) as made:
        built = time.monotonic() - begun
        first, *_, last = made.offices

        assert seen_as(last, made) == "10.101.1.4"
        assert seen_as(first, made, source=first.pinned("viettel")) == "10.102.1.1"
    assert built < 5


def test_nothing_is_left():
    """Namespaces go, and so do the processes in them and their files."""
    with box() as made:
        pc = made.offices[0].pc
        resolv_conf(pc, "10.101.0.53")
        left = subprocess.Popen(in_namespace(pc, "sleep", "60"))
        until_sync(lambda: left.pid in processes(pc), what="it sleeps there")

    assert left.wait(1) == -9
    gone = {made.core, made.dc, pc, made.offices[0].gateway, *made.carriers.values()}
    assert all(name.startswith(f"ts{os.getpid()}-") for name in gone)
    for folder in (Path("/run/netns"), ETC):
        there = {file.name for file in folder.iterdir()} if folder.exists() else set()
        assert not there & gone
