"""Offices apart from their centre: each PC in a network namespace of its own, a cable between.

The cable takes its time, 0.1 s each way, so that a cut at a random moment falls into the middle of
a push as often as beside it. What an agent measures stands in its office.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.province import AGENT, Apart, Program, Province, province
from tests.lab.cable import Cable, cable
from tests.lab.namespaces import ETC, in_namespace, ip, kill_all_in, namespaces, nft
from tests.pki import issue, make_authority
from tests.reliability.matrix import BUSY

HOST = "portal.test"
"""What the centre's certificate names."""
DELAY_SECONDS = 0.1
Cut = Callable[[], AbstractContextManager[None]]
RESET = "meta l4proto tcp reject with tcp reset"
_tables = count(1)


@dataclass(slots=True)
class Office:
    """One PC, what it measures, and its line."""

    agent: str
    pc: str
    """Its namespace; its port on the line is `line`."""
    line: Cable
    portal: Program
    port: str
    """The centre's port of this line."""

    def power_off(self) -> None:
        """Kill everything that runs on the PC, as a power cut does."""
        kill_all_in(self.pc)


@dataclass(slots=True)
class Offices:
    """What a test holds in its hands."""

    made: Province
    centre: str
    places: list[Office]

    def cuts_at(self, office: Office) -> dict[str, Cut]:
        """Return the ways in which an office's line may break, by name; each lasts its context."""
        return {
            "no light at the PC": lambda: _unplugged(office.pc, ["line"]),
            "nothing arrives": lambda: _down(office.line, "forward"),
            "no answer arrives": lambda: _down(office.line, "backward"),
            "dead": lambda: _down(office.line, "both"),
            "reset": lambda: _filtered(office.pc, "output", f"oifname line {RESET}"),
        }

    def cuts_at_centre(self) -> dict[str, Cut]:
        """Return the ways in which the centre's own line may break, likewise."""
        return {
            "no light": lambda: _unplugged(self.centre, [office.port for office in self.places]),
            "nothing arrives": lambda: _filtered(self.centre, "input", "iifname != lo drop"),
            "no answer leaves": lambda: _filtered(self.centre, "output", "oifname != lo drop"),
            "reset": lambda: _filtered(self.centre, "input", f"iifname != lo {RESET}"),
        }


@contextmanager
def offices(folder: Path, agents: tuple[str, ...]) -> Iterator[Offices]:
    """Run the busy small province, an office for each agent; the agents are to be started."""
    authority = make_authority("Lab CA")
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    tls = issue(folder / "centre", authority, host=HOST)
    parts = [f"pc{number}" for number, _ in enumerate(agents, start=1)]
    with namespaces("centre", *parts) as (centre, *pcs), ExitStack() as stack:
        apart = Apart(centre, HOST, ca_file, tls)
        made = stack.enter_context(province(folder, agents=(), more=BUSY, apart=apart))
        places = []
        for number, (agent, pc) in enumerate(zip(agents, pcs, strict=True), start=1):
            port = f"pc{number}"
            line = stack.enter_context(cable(pc, "line", centre, port, seed=number))
            line.set(both={"delay_seconds": DELAY_SECONDS})
            ip(f"addr add 10.77.{number}.2/24 dev line\n", pc)
            ip(f"addr add 10.77.{number}.1/24 dev {port}\n", centre)
            (ETC / pc).mkdir(parents=True, exist_ok=True)
            (ETC / pc / "hosts").write_text(f"127.0.0.1 localhost\n10.77.{number}.1 {HOST}\n")
            made.add_agent(agent, command=in_namespace(pc, *AGENT))
            portal = _portal(made, agent, pc)
            stack.callback(portal.end)
            stack.callback(made.agents[agent].end)
            portal.start()
            places.append(Office(agent, pc, line, portal, port))
        yield Offices(made, centre, places)


def _portal(made: Province, agent: str, pc: str) -> Program:
    """Return the province's portal once more, for an office of its own."""
    home = made.folder / agent / "nginx"
    home.mkdir()
    (home / "nginx.conf").write_text((made.folder / "nginx" / "nginx.conf").read_text())
    command = [
        str(home) if word == f"{made.folder}/nginx" else word for word in made.portal.command
    ]
    return Program(in_namespace(pc, *command), made.folder / agent / "nginx.log")


@contextmanager
def _unplugged(namespace: str, ports: list[str]) -> Iterator[None]:
    ip("".join(f"link set {port} down\n" for port in ports), namespace)
    try:
        yield
    finally:
        ip("".join(f"link set {port} up\n" for port in ports), namespace)


@contextmanager
def _down(line: Cable, direction: str) -> Iterator[None]:
    line.set(**{direction: {"down": True}})
    try:
        yield
    finally:
        line.set(**{direction: {"down": False}})


@contextmanager
def _filtered(namespace: str, hook: str, rule: str) -> Iterator[None]:
    name = f"cut{next(_tables)}"
    chain = f"type filter hook {hook} priority -10\n{rule}"
    nft(f"table inet {name} {{\n chain c {{\n {chain}\n }}\n}}\n", namespace)
    try:
        yield
    finally:
        nft(f"delete table inet {name}\n", namespace)
