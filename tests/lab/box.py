"""A province in a box: offices with three lines each, their carriers, the core, the data centre.

    with box(offices=2) as province:
        office = province.offices[0]
        with inside(office.pc), province.dead("vnpt"):
            ...  # sockets opened here are the PC's

    pc1 --lan-- gw1 --vnpt----- vnpt ---+
      |-vnpt---  |--viettel-- viettel --+-- core -- dc 10.0.1.10
      |-viettel- '--tslcd----- tslcd ---+             10.0.2.10 (over TSLCD alone)
      '-tslcd--

The PC of office 1 stands in 10.8.1.0/24 as .2: there its gateway chooses the way (VNPT, without it
Viettel; TSLCD for 10.0.2.0/24). What it sends from .11, .12 or .13 the gateway pins to VNPT,
Viettel or TSLCD. And it has a port on each line, 10.21.1.2, 10.22.1.2 and 10.23.1.2, to be chosen
by address or by interface. The gateway hides it all behind 10.101.1.1, 10.102.1.1 and 10.103.1.1.
A carrier is 10.101.0.1 (10.102.0.1, 10.103.0.1) and has a resolver's address, .0.53.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from agent.config import Line
from tests.lab.cable import Cable, cable
from tests.lab.namespaces import inside, ip, namespaces, nft, sysctl

CARRIERS = ("vnpt", "viettel", "tslcd")
INTERNET = CARRIERS[:2]
DATA_CENTRE = "10.0.1.10"
TSLCD_ONLY = "10.0.2.10"
_rules = count(1)


def number_of(carrier: str) -> int:
    """Return 1 for VNPT, 2 for Viettel, 3 for TSLCD: so their addresses are made."""
    return CARRIERS.index(carrier) + 1


def anchor(carrier: str) -> str:
    """Return a carrier's own address."""
    return f"10.10{number_of(carrier)}.0.1"


def resolver(carrier: str) -> str:
    """Return the address where a carrier's resolver would listen, in its namespace."""
    return f"10.10{number_of(carrier)}.0.53"


@dataclass(frozen=True, slots=True)
class Office:
    """A commune: its PC, its gateway, and how a line is chosen from there."""

    number: int
    pc: str
    gateway: str
    carriers: dict[str, str]
    """Those it has a line of, and the namespace of each."""

    def pinned(self, carrier: str) -> str:
        """Return the PC's address on its LAN that the gateway pins to a line."""
        return f"10.8.{self.number}.{10 + number_of(carrier)}"

    def port(self, carrier: str) -> str:
        """Return the address of the PC's own port on a line; the port is named as the carrier."""
        return f"10.2{number_of(carrier)}.{self.number}.2"

    def public(self, carrier: str) -> str:
        """Return the address that others see of what goes over a line."""
        return f"10.10{number_of(carrier)}.1.{self.number}"

    def lines(self, how: str, carriers: Sequence[str] = CARRIERS) -> list[Line]:
        """Return lines as an agent is told of them.

        They are chosen `pinned`, by `port`, `interface` or `anchor`, or `none` can be chosen.
        """
        make = {
            "pinned": lambda name: Line(name=name, select="source", source=self.pinned(name)),
            "port": lambda name: Line(name=name, select="source", source=self.port(name)),
            "interface": lambda name: Line(name=name, select="interface", interface=name),
            "anchor": lambda name: Line(name=name, select="anchor", anchor=anchor(name)),
            "none": lambda name: Line(name=name, select="none"),
        }[how]
        return [make(carrier) for carrier in carriers]

    @contextmanager
    def unplugged(self, carrier: str) -> Iterator[None]:
        """Pull the cable out of the gateway: it sees no light, and goes by its next route."""
        there = self.carriers[carrier]
        ip(f"link set o{self.number} down", there)
        try:
            yield
        finally:
            ip(f"link set o{self.number} up", there)

    @contextmanager
    def port_down(self, carrier: str) -> Iterator[None]:
        """Switch the PC's own port on a line off; the routes over it go, and come back with it."""
        ip(f"link set {carrier} down", self.pc)
        try:
            yield
        finally:
            ip(f"link set {carrier} up\n{_routes_of_port(self, carrier)}", self.pc)

    @contextmanager
    def moved_to(self, carrier: str) -> Iterator[None]:
        """Let the gateway send over this line what is not pinned to one."""
        route = f"default via {anchor(carrier)} dev {carrier} metric 5"
        ip(f"route add {route}", self.gateway)
        try:
            yield
        finally:
            ip(f"route del {route}", self.gateway)

    @contextmanager
    def cabled(self, carrier: str, *, seed: int = 1) -> Iterator[Cable]:
        """Put a cable of tests.lab.cable in place of a line; forward is from the office."""
        there, name = self.carriers[carrier], f"o{self.number}"
        ip(f"link del {carrier}", self.gateway)
        try:
            with cable(self.gateway, carrier, there, name, seed=seed) as laid:
                _plug(self, carrier)
                yield laid
        finally:
            ip(f"link add {carrier} netns {self.gateway} type veth peer name {name} netns {there}")
            _plug(self, carrier)


@dataclass(frozen=True, slots=True)
class Box:
    """The whole, and what may happen to it."""

    offices: list[Office]
    carriers: dict[str, str]
    """Namespace of each."""
    core: str
    dc: str

    @contextmanager
    def filtered(self, namespace: str, *rules: str, hook: str = "forward") -> Iterator[None]:
        """Have nft rules in force for a while, before all that is there already."""
        name = f"fault{next(_rules)}"
        body = "\n".join(rules)
        chain = f"type filter hook {hook} priority -10\n{body}"
        nft(f"table inet {name} {{\n chain c {{\n {chain}\n }}\n}}\n", namespace)
        try:
            yield
        finally:
            nft(f"delete table inet {name}\n", namespace)

    @contextmanager
    def dead(self, carrier: str) -> Iterator[None]:
        """Let a carrier swallow everything: the line is up, the gateway's route stays, all is lost."""
        with ExitStack() as stack:
            for hook in ("forward", "input"):
                stack.enter_context(self.filtered(self.carriers[carrier], "drop", hook=hook))
            yield

    @contextmanager
    def cut_off(self, carrier: str) -> Iterator[None]:
        """Cut a carrier from the core: its own anchor still answers."""
        rules = (f"iifname {carrier} drop", f"oifname {carrier} drop")
        with self.filtered(self.core, *rules):
            yield

    @contextmanager
    def without_dns(self, carrier: str) -> Iterator[None]:
        """Let a carrier swallow questions for names, to its own resolver and to others."""
        rules = ("udp dport 53 drop", "tcp dport 53 drop")
        with ExitStack() as stack:
            for hook in ("forward", "input"):
                stack.enter_context(self.filtered(self.carriers[carrier], *rules, hook=hook))
            yield

    @contextmanager
    def leaking(self) -> Iterator[None]:
        """Let the core carry from the Internet to what belongs to TSLCD alone."""
        nft("flush chain ip core tslcd_only\n", self.core)
        try:
            yield
        finally:
            nft(f"add rule ip core tslcd_only {_TSLCD_ONLY}\n", self.core)


@contextmanager
def box(offices: int = 1, lines: Sequence[Sequence[str]] = ()) -> Iterator[Box]:
    """Build a province; all of it goes with the context. At most 250 offices.

    `lines`: the carriers that each office has a line of; without it every office has all.
    """
    numbers = range(1, offices + 1)
    parts = [f"{part}{number}" for number in numbers for part in ("pc", "gw")]
    with namespaces(*CARRIERS, "core", "dc", *parts) as names:
        carriers = dict(zip(CARRIERS, names, strict=False))
        core, dc, *places = names[3:]
        made = [
            Office(
                number,
                places[2 * number - 2],
                places[2 * number - 1],
                {name: carriers[name] for name in (lines[number - 1] if lines else CARRIERS)},
            )
            for number in numbers
        ]
        _lay_cables(made, carriers, core, dc)
        _set_up_centre(carriers, core, dc)
        for office in made:
            _set_up(office)
        yield Box(made, carriers, core, dc)


def _lay_cables(offices: list[Office], carriers: dict[str, str], core: str, dc: str) -> None:
    pairs = [(core, carrier, there, "core") for carrier, there in carriers.items()]
    pairs.append((core, "dc", dc, "core"))
    for office in offices:
        pairs.append((office.pc, "lan", office.gateway, "lan"))
        for carrier, there in office.carriers.items():
            pairs.append((office.pc, carrier, office.gateway, f"{carrier}-lan"))
            pairs.append((office.gateway, carrier, there, f"o{office.number}"))
    ip(
        "".join(
            f"link add {near} netns {a} type veth peer name {far} netns {b}\n"
            for a, near, b, far in pairs
        )
    )


_TSLCD_ONLY = f'iifname {{ "vnpt", "viettel" }} ip daddr {TSLCD_ONLY} drop'


def _set_up_centre(carriers: dict[str, str], core: str, dc: str) -> None:
    for carrier, there in carriers.items():
        n = number_of(carrier)
        _route_packets(there)
        ip(
            "link add br0 type bridge\nlink set br0 up\nlink set core up\n"
            f"addr add {anchor(carrier)}/16 dev br0\naddr add {resolver(carrier)}/16 dev br0\n"
            f"addr add 10.9.{n}.2/24 dev core\nroute add default via 10.9.{n}.1\n",
            there,
        )
        ip(
            f"link set {carrier} up\naddr add 10.9.{n}.1/24 dev {carrier}\n"
            f"route add 10.10{n}.0.0/16 via 10.9.{n}.2\n",
            core,
        )
    _route_packets(core)
    ip("link set dc up\naddr add 10.0.1.1/24 dev dc\naddr add 10.0.2.1/24 dev dc\n", core)
    nft(
        "table ip core {\n chain tslcd_only {\n type filter hook forward priority 0\n"
        f" {_TSLCD_ONLY}\n }}\n}}\n",
        core,
    )
    ip(
        f"link set core up\naddr add {DATA_CENTRE}/24 dev core\naddr add {TSLCD_ONLY}/24 dev core\n"
        "route add default via 10.0.1.1\n",
        dc,
    )


def _set_up(office: Office) -> None:
    k = office.number
    with inside(office.pc):
        sysctl("ipv4/conf/all/rp_filter", "1")  # as strict as a PC may be
    ip(
        f"link set lan up\naddr add 10.8.{k}.2/24 dev lan\n"
        f"route add default via 10.8.{k}.1 dev lan metric 1\n"
        + "".join(f"addr add {office.pinned(carrier)}/24 dev lan\n" for carrier in office.carriers)
        + "".join(
            f"link set {carrier} up\naddr add {office.port(carrier)}/24 dev {carrier}\n"
            f"rule add from {office.port(carrier)} lookup {100 + number_of(carrier)}\n"
            f"{_last_resort(carrier)}{_routes_of_port(office, carrier)}"
            for carrier in office.carriers
        ),
        office.pc,
    )
    _route_packets(office.gateway)
    with inside(office.gateway):
        sysctl("ipv4/conf/all/ignore_routes_with_linkdown", "1")
    ip(
        f"link set lan up\naddr add 10.8.{k}.1/24 dev lan\n"
        + "".join(
            f"link set {carrier}-lan up\naddr add 10.2{number_of(carrier)}.{k}.1/24"
            f" dev {carrier}-lan\n"
            f"rule add iif {carrier}-lan lookup {100 + number_of(carrier)}\n"
            f"rule add from {office.pinned(carrier)} lookup {100 + number_of(carrier)}\n"
            f"{_last_resort(carrier)}"
            for carrier in office.carriers
        ),
        office.gateway,
    )
    nft(
        "table ip nat {\n chain out {\n type nat hook postrouting priority 100\n"
        ' oifname { "vnpt", "viettel", "tslcd" } masquerade\n }\n}\n',
        office.gateway,
    )
    for carrier in office.carriers:
        _plug(office, carrier)


def _routes_of_port(office: Office, carrier: str) -> str:
    """Return the recipe of docs/lines.md: a table of its own for what is bound to the line."""
    n, via = number_of(carrier), office.port(carrier)[:-1] + "1"
    return (
        f"route replace default via {via} dev {carrier} table {100 + n}\n"
        f"route replace default via {via} dev {carrier} metric {100 + n}\n"
    )


def _last_resort(carrier: str) -> str:
    """Return what keeps traffic of a line from taking another one when its own route is gone."""
    return f"route add unreachable default metric 4294967294 table {100 + number_of(carrier)}\n"


def _plug(office: Office, carrier: str) -> None:
    """Give both ends of a line what they need; also after one of them was replaced."""
    n, name = number_of(carrier), f"o{office.number}"
    ip(f"link set {name} master br0\nlink set {name} up\n", office.carriers[carrier])
    via = f"via {anchor(carrier)} dev {carrier}"
    main = f"route replace {TSLCD_ONLY}/32 {via}" if n == 3 else ""
    main = main or f"route replace default {via} metric {10 * n}"
    ip(
        f"link set {carrier} up\naddr add {office.public(carrier)}/16 dev {carrier}\n"
        f"{main}\nroute replace default {via} table {100 + n}\n",
        office.gateway,
    )


def _route_packets(namespace: str) -> None:
    with inside(namespace):
        sysctl("ipv4/ip_forward", "1")
        for name in ("all", "default"):
            Path("/proc/sys/net/ipv4/conf", name, "rp_filter").write_text("0", "ascii")
