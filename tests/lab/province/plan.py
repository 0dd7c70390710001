"""Which offices a province in a box has: their lines, how a PC chooses them, and where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.config import Line
from tests.lab.box import Office

AREAS = ("Thử Đông", "Thử Tây", "Thử Nam")
CENTRE = "ttdl"
"""The site and agent of the data centre."""


@dataclass(frozen=True, slots=True)
class Place:
    """One office as it was planned."""

    number: int
    lines: tuple[str, ...]
    area: str
    ports: tuple[str, ...] = ()
    """Lines that come into the PC by a port of its own, past the office's gateway: a 4G stick."""
    chosen: bool = True
    """Whether the PC can choose its lines; otherwise they are only seen by the public address."""
    own_clock: bool = False
    """Whether its PC's clock can be set: the machine's is everybody's."""
    cabled: str = ""
    """The line that is a cable of tests.lab.cable, whose quality can be spoilt."""

    @property
    def site(self) -> str:
        """Return its code, which is also its agent's."""
        return f"{self.number:05}"

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"Xã Thử {self.number}"

    def rows(self, office: Office) -> list[Line]:
        """Return its lines as an agent would be told of them, with their anchors."""
        ported = {line.name: line for line in office.lines("interface", self.ports)}
        how = "pinned" if self.chosen else "none"
        return [ported.get(line.name, line) for line in office.lines(how, self.lines)]


DUAL, DUAL_TSLCD = ("vnpt", "viettel"), ("vnpt", "viettel", "tslcd")
EAST, WEST, SOUTH = AREAS
TWELVE = (
    Place(1, DUAL_TSLCD, EAST),
    Place(2, DUAL_TSLCD, EAST),
    Place(3, DUAL_TSLCD, WEST, ports=("viettel",)),
    Place(4, DUAL_TSLCD, WEST, cabled="viettel"),
    Place(5, ("vnpt", "tslcd"), EAST),
    Place(6, ("vnpt",), SOUTH),
    Place(7, ("vnpt",), SOUTH),
    Place(8, ("vnpt",), SOUTH, chosen=False),
    Place(9, ("vnpt",), WEST, own_clock=True),
    Place(10, ("viettel",), SOUTH),
    Place(11, ("viettel",), SOUTH),
    Place(12, ("viettel",), EAST, chosen=False),
)
"""Every kind of office there is. Silent together, 6, 7, 8, 10 and 11 are a whole area."""


def many(count: int, *, vnpt_only: int, dual: int) -> tuple[Place, ...]:
    """Return so many plain offices: first those of VNPT alone, then those with both lines.

    What is left has Viettel alone. The areas take turns.
    """
    kinds: list[Sequence[str]] = [("vnpt",)] * vnpt_only + [DUAL] * dual
    kinds += [("viettel",)] * (count - len(kinds))
    return tuple(
        Place(number, tuple(lines), AREAS[number % len(AREAS)])
        for number, lines in enumerate(kinds, start=1)
    )
