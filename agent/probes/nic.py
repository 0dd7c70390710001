"""`nic`: the PC's network interface, the lowest layer of all, and how the office set it up."""

import re
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.nic_files import read_routes, read_text
from agent.probes.nic_setup import nameservers_of, read_setup
from agent.wire import Failure

ROOT = Path("/")
INTERFACE = re.compile(r"[^\s/:]{1,15}")
IFF_UP = 1
TOTALS = {
    "nic_receive_errors_total": "statistics/rx_errors",
    "nic_transmit_errors_total": "statistics/tx_errors",
    "nic_receive_drops_total": "statistics/rx_dropped",
    "nic_transmit_drops_total": "statistics/tx_dropped",
    "nic_carrier_changes_total": "carrier_changes",
}


class NicParams(Struct, frozen=True, forbid_unknown_fields=True):
    """`nic` has nothing to set."""


class Nic:
    """Reads the kernel's own figures and the files of the DHCP client; sends nothing."""

    kind: ClassVar[str] = "nic"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = NicParams
    phases: ClassVar[tuple[str, ...]] = ()
    values: ClassVar[tuple[Value, ...]] = (
        Value("nic_carrier", "Whether the network interface has a link, 0 or 1."),
        Value("nic_speed_bytes_per_second", "Speed that card and switch agreed on."),
        Value("nic_full_duplex", "Whether both may send at once, 0 or 1."),
        Value("nic_wireless", "Whether the link is Wi-Fi, 0 or 1."),
        Value("nic_mtu_bytes", "Largest packet the interface sends."),
        Value("nic_receive_errors_total", "Frames that came in damaged.", counter=True),
        Value("nic_transmit_errors_total", "Frames that could not be sent.", counter=True),
        Value("nic_receive_drops_total", "Frames that came in and were dropped.", counter=True),
        Value("nic_transmit_drops_total", "Frames dropped before they were sent.", counter=True),
        Value("nic_carrier_changes_total", "Times the link came or went.", counter=True),
    )

    def __init__(self, params: NicParams, env: Env) -> None:
        # Kept across configurations: what happened between two of them is counted too
        self._totals: dict[tuple[str, ...], float] = env.keep("nic totals", dict)

    @classmethod
    def refuse_target(cls, name: str, params: NicParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        fits = INTERFACE.fullmatch(name) and name not in {".", ".."}
        return "" if fits else "expected default, or the name of a network interface"

    async def run(self, target: Target, rec: Recorder) -> None:
        """Read; everything here takes microseconds.

        `default` is the line's own interface, if it has one, else that of the default route.
        """
        routes = read_routes(
            read_text(ROOT / "proc/net/route"), read_text(ROOT / "proc/net/ipv6_route")
        )
        servers = nameservers_of(ROOT)
        if servers:
            rec.fact("nameservers", ", ".join(servers))
        name = target.name
        if name == "default":
            bound = target.source.interface if target.source else ""
            name = bound or (routes[0].interface if routes else "")
        if not name:
            _fail_without_route(rec)
            return
        rec.fact("interface", name)
        if not _folder(name).is_dir():
            rec.fail(Failure.NO_LINK, f"found no interface {name}, only {', '.join(_interfaces())}")
            return
        self._read_card(name, target, rec)
        for fact, text in read_setup(ROOT, name, routes):
            rec.fact(fact, text)
        if target.name == "default" and not routes:
            rec.fail(Failure.NETWORK_UNREACHABLE, "no default route")

    def _read_card(self, name: str, target: Target, rec: Recorder) -> None:
        link = _link(name)
        rec.value("nic_carrier", int(link == ""))
        if link:
            rec.fail(Failure.NO_LINK, link)
        speed = _number(name, "speed")
        if speed is not None and 0 < speed < 1 << 31:  # a virtual one says -1, also without a sign
            rec.value("nic_speed_bytes_per_second", speed * 125_000)
        duplex = _of(name, "duplex")
        if duplex in {"full", "half"}:
            rec.value("nic_full_duplex", int(duplex == "full"))
        folder = _folder(name)
        wireless = (folder / "wireless").exists() or (folder / "phy80211").exists()
        rec.value("nic_wireless", int(wireless))
        mtu = _number(name, "mtu")
        if mtu is not None:
            rec.value("nic_mtu_bytes", mtu)
        for total, file in TOTALS.items():
            number = _number(name, file)
            if number is not None:
                self._count((target.name, target.line, name, total), number, rec)

    def _count(self, key: tuple[str, ...], total: float, rec: Recorder) -> None:
        """Count what came since the last reading of this interface; the first one begins at 0."""
        before = self._totals.get(key, total)
        self._totals[key] = total
        rec.count(key[-1], total - before if total >= before else total)  # its driver began anew


def _fail_without_route(rec: Recorder) -> None:
    """Say that there is no default route, or why: with its cable a PC often loses that too."""
    cards = [name for name in _interfaces() if (_folder(name) / "device").exists()]
    without = [link for link in map(_link, cards) if link]
    if cards and len(without) == len(cards):
        rec.fail(Failure.NO_LINK, "; ".join(without))
    else:
        rec.fail(Failure.NETWORK_UNREACHABLE, "no default route")


def _link(name: str) -> str:
    """Return "" where an interface has a link, else why not."""
    if not int(_of(name, "flags") or "0", 16) & IFF_UP:
        return f"{name} is switched off"
    return "" if _of(name, "carrier") == "1" else f"{name} has no link"


def _interfaces() -> list[str]:
    folder = ROOT / "sys/class/net"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _folder(name: str) -> Path:
    return ROOT / "sys/class/net" / name


def _of(name: str, file: str) -> str:
    return read_text(_folder(name) / file).strip()


def _number(name: str, file: str) -> int | None:
    """Return a file's number; None where it has none (of a link that is down, or not told)."""
    try:
        return int(_of(name, file))
    except ValueError:
        return None
