"""The PC's network interface is read as it stands: link, speed, errors, and how it was set up."""

import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from agent.probes import nic
from agent.probes.base import Env, Source
from agent.probes.nic import Nic, NicParams
from agent.wire import Failure, Sample
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.tries import Tried
from tests.lab.namespaces import ip, namespaces
from tests.programs import program

CARD = "tslan0"  # no machine has it: its address is asked of the kernel, not of files
OFFICE = {
    "proc/net/route": (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "tswifi0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
        "tslan0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "tslan0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
    ),
    "proc/net/arp": (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.0.2.1        0x1         0x2         02:00:5e:00:53:01     *        tslan0\n"
    ),
    "proc/net/if_inet6": (
        "20010db8000000000000000000000007 02 40 00 80   tslan0\n"
        "fe800000000000000000000000000007 02 40 20 80   tslan0\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
    ),
    "etc/resolv.conf": "# written by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\n",
    "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver 2001:db8::53\n",
    "run/systemd/netif/leases/2": "ADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.1\nLIFETIME=3600\n",
    "sys/class/net/lo/flags": "0x9\n",
    "sys/class/net/lo/carrier": "1\n",
    "sys/class/net/tslan0/device/uevent": "",
    "sys/class/net/tslan0/ifindex": "2\n",
    "sys/class/net/tslan0/flags": "0x1003\n",
    "sys/class/net/tslan0/carrier": "1\n",
    "sys/class/net/tslan0/speed": "100\n",
    "sys/class/net/tslan0/duplex": "half\n",
    "sys/class/net/tslan0/mtu": "1500\n",
    "sys/class/net/tslan0/carrier_changes": "3\n",
    "sys/class/net/tslan0/statistics/rx_errors": "7\n",
    "sys/class/net/tslan0/statistics/tx_errors": "0\n",
    "sys/class/net/tslan0/statistics/rx_dropped": "20\n",
    "sys/class/net/tslan0/statistics/tx_dropped": "1\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")


@pytest.fixture
def office(tmp_path, monkeypatch):
    """Let the probe read the files of an office PC; a test may write over them."""
    monkeypatch.setattr(nic, "ROOT", tmp_path)
    write(tmp_path, OFFICE)
    return tmp_path


async def read(env: Env, target: str = "default", **kwargs):
    """Read once."""
    return await attempt(Nic, env, target, **kwargs)


async def test_all_there_is(env, office):
    """The interface of the cheapest default route is read whole, with its setup as facts."""
    before = open_files()
    rec = await read(env)

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values == {
        "nic_carrier": 1,
        "nic_speed_bytes_per_second": 12_500_000,
        "nic_full_duplex": 0,
        "nic_wireless": 0,
        "nic_mtu_bytes": 1500,
    }
    assert rec.values.keys() | rec.counts.keys() == {value.name for value in Nic.values}
    assert rec.facts == {
        "interface": CARD,
        "nameservers": "192.0.2.53, 2001:db8::53",
        "addresses": "2001:db8::7/64",
        "gateways": "192.0.2.1",
        "gateway_mac": "02:00:5e:00:53:01",
        "dhcp_server": "192.0.2.1",
        "dhcp_lease_seconds": "3600",
    }
    assert open_files() == before


async def test_wifi(env, office):
    """A wireless card is told from a cable; what it does not tell of is absent."""
    write(
        office,
        {
            "sys/class/net/tswifi0/flags": "0x1003\n",
            "sys/class/net/tswifi0/carrier": "1\n",
            "sys/class/net/tswifi0/phy80211/name": "phy0\n",
        },
    )
    rec = await read(env, "tswifi0")

    assert rec.failure is None
    assert rec.values == {"nic_carrier": 1, "nic_wireless": 1}
    assert rec.counts == {}


@pytest.mark.parametrize("speed", ["-1\n", "4294967295\n", "0\n", ""])
async def test_unknown_speed(env, office, speed):
    """A card that does not say how fast it is has no speed, not one of -1."""
    write(office, {"sys/class/net/tslan0/speed": speed, "sys/class/net/tslan0/duplex": "unknown"})
    rec = await read(env)

    assert rec.failure is None
    assert not {"nic_speed_bytes_per_second", "nic_full_duplex"} & rec.values.keys()


async def test_counts_what_came_since(env, office):
    """Only what came since the last reading is counted, also by the probe of the next configuration."""
    first = await read(env)
    write(office, {"sys/class/net/tslan0/statistics/rx_errors": "12\n"})
    second = await read(env)
    write(office, {"sys/class/net/tslan0/statistics/rx_errors": "2\n"})
    anew = await read(env)

    assert [rec.counts["nic_receive_errors_total"] for rec in (first, second, anew)] == [0, 5, 2]
    assert [rec.counts["nic_carrier_changes_total"] for rec in (first, second)] == [0, 0]


async def test_another_interface_begins_at_nought(env, office):
    """When the default route moves, the errors of the new card's whole life are not of today."""
    await read(env)
    route = OFFICE["proc/net/route"].replace("\t100\t0000", "\t900\t0000")
    write(
        office,
        {
            "proc/net/route": route,
            "sys/class/net/tswifi0/flags": "0x1003\n",
            "sys/class/net/tswifi0/carrier": "1\n",
            "sys/class/net/tswifi0/statistics/rx_errors": "5000\n",
        },
    )
    rec = await read(env)

    assert rec.facts["interface"] == "tswifi0"
    assert rec.counts == {"nic_receive_errors_total": 0}


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({"sys/class/net/tslan0/carrier": "0\n"}, "tslan0 has no link"),
        ({"sys/class/net/tslan0/flags": "0x1002\n"}, "tslan0 is switched off"),
    ],
)
async def test_no_link(env, office, files, detail):
    """A card without a link fails by its name; what can still be read is there."""
    write(office, {"sys/class/net/tslan0/speed": "-1\n", **files})
    rec = await read(env)

    assert (rec.failure, rec.detail) == (Failure.NO_LINK, detail)
    assert rec.values["nic_carrier"] == 0
    assert "nic_speed_bytes_per_second" not in rec.values
    assert rec.facts["interface"] == CARD


async def test_no_such_interface(env, office):
    """A card that is not there (pulled out, or a slip in the configuration) names those that are."""
    rec = await read(env, "eth7")

    assert (rec.failure, rec.detail) == (
        Failure.NO_LINK,
        "found no interface eth7, only lo, tslan0",
    )
    assert rec.values == {}


@pytest.mark.parametrize(
    ("carrier", "failure", "detail"),
    [
        ("1\n", Failure.NETWORK_UNREACHABLE, "no default route"),
        ("0\n", Failure.NO_LINK, "tslan0 has no link"),
    ],
)
async def test_no_default_route(env, office, carrier, failure, detail):
    """Without a default route the reason is the missing cable, if no card has one."""
    head = OFFICE["proc/net/route"].partition("\n")[0]
    write(office, {"proc/net/route": f"{head}\n", "sys/class/net/tslan0/carrier": carrier})
    rec = await read(env)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.values == {}
    assert rec.facts == {"nameservers": "192.0.2.53, 2001:db8::53"}


async def test_the_lines_own_interface(env, office):
    """For a line that is an interface, `default` is that one."""
    rec = await read(env, source=Source(interface="lo"))

    assert (rec.failure, rec.facts["interface"]) == (None, "lo")

    (office / "proc/net/route").unlink()
    rec = await read(env, source=Source(interface="lo"))

    assert (rec.failure, rec.detail) == (Failure.NETWORK_UNREACHABLE, "no default route")
    assert rec.values["nic_carrier"] == 1


async def test_a_bare_machine(env, tmp_path, monkeypatch):
    """Where none of the files is there (a container), that is said in words."""
    monkeypatch.setattr(nic, "ROOT", tmp_path)
    rec = await read(env)

    assert (rec.failure, rec.detail) == (Failure.NETWORK_UNREACHABLE, "no default route")
    assert (rec.values, rec.facts) == ({}, {})


async def test_lease_files(env, office):
    """Of several DHCP clients' files the newest one that is understood counts."""
    (office / "run/systemd/netif/leases/2").unlink()
    folder = office / "var/lib/NetworkManager"
    write(
        folder,
        {
            "internal-08b5-tslan0.lease": "ADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.2\n",
            "internal-77aa-tslan0.lease": "ADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.3\n",
            "internal-77aa-other0.lease": "ADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.4\n",
            "broken-tslan0.lease": "\0\0\0",
        },
    )
    for age, file in enumerate(("broken-tslan0", "internal-77aa-tslan0", "internal-08b5-tslan0")):
        os.utime(folder / f"{file}.lease", (1000 - age, 1000 - age))

    rec = await read(env)

    assert rec.facts["dhcp_server"] == "192.0.2.3"
    assert "dhcp_lease_seconds" not in rec.facts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", ""),
        ("enp0s31f6", ""),
        ("", "expected default, or the name of a network interface"),
        ("..", "expected default, or the name of a network interface"),
        ("../lo", "expected default, or the name of a network interface"),
        ("sixteen-letters-", "expected default, or the name of a network interface"),
        ("192.0.2.1:9", "expected default, or the name of a network interface"),
    ],
)
def test_targets(name, expected):
    """A target that is none is refused with what was expected of it."""
    assert Nic.refuse_target(name, NicParams()) == expected


@pytest.fixture(scope="module")
def pc():
    """Make a PC and its router as namespaces, with a cable between them."""
    with namespaces("pc", "router") as (pc, router):
        ip(f"link add lan netns {pc} type veth peer name lan netns {router}\n")
        ip("addr add 10.7.1.1/24 dev lan\nlink set lan up\n", router)
        ip("addr add 10.7.1.2/24 dev lan\nlink set lan up\n", pc)
        yield pc, router


def once(namespace: str, folder: Path) -> Sample:
    """Run the real command in a namespace, where /sys too shows what is there."""
    (folder / "agent.yml").write_text(
        'agent: "04792"\nstate_directory: state\n'
        "collector: {url: https://centre.example, token_file: token}\n"
        "checks:\n  - {id: card, kind: nic, targets: [default], interval_seconds: 5}\n"
    )
    command = [*(program("ip"), "netns", "exec", namespace), sys.executable, "-m", "agent"]
    done = subprocess.run(
        [*command, "once", "--json", "-c", folder / "agent.yml"],
        check=False,
        capture_output=True,
        timeout=30,
    )
    assert done.stderr == b""
    return msgspec.json.decode(done.stdout, type=Sample)


@pytest.mark.real
def test_real_interface(pc, tmp_path):
    """A cable that is in, one that was pulled at the other end, and one without a way out."""
    site, router = pc
    alone = once(site, tmp_path)
    ip(
        "route add default via 10.7.1.1\nneigh add 10.7.1.1 lladdr 02:00:5e:00:53:01 dev lan\n",
        site,
    )
    well = once(site, tmp_path)
    ip("link set lan down\n", router)
    pulled = once(site, tmp_path)
    ip("link set lan up\n", router)

    assert (alone.failure, alone.detail) == (Failure.NETWORK_UNREACHABLE, "no default route")
    assert well.failure is None
    assert (well.values["nic_carrier"], well.values["nic_mtu_bytes"]) == (1, 1500)
    assert well.facts["interface"] == "lan"
    assert well.facts["gateways"] == "10.7.1.1"
    assert well.facts["gateway_mac"] == "02:00:5e:00:53:01"
    assert well.facts["addresses"].startswith("10.7.1.2/24")
    assert (pulled.failure, pulled.detail) == (Failure.NO_LINK, "lan has no link")
    assert pulled.values["nic_carrier"] == 0


@contextmanager
def an_office():
    """Let the probe read the files of an office PC, for whoever has no fixture."""
    real = nic.ROOT
    with TemporaryDirectory() as folder:
        write(Path(folder), OFFICE)
        nic.ROOT = Path(folder)
        try:
            yield
        finally:
            nic.ROOT = real


@asynccontextmanager
async def tried(_):
    """Offer the card of an office PC, and one that is not there."""
    with an_office():
        yield Tried(CARD, {}), Tried("absent0", {})
