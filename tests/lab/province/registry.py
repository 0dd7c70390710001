"""The list of faults, which their modules enter themselves in."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.lab.province.raising import Province

Make = Callable[[Province, str], AbstractContextManager[object]]
FAULTS: dict[str, tuple[str, Make]] = {}
"""By name: what its place is (carrier, site, line: a site and a carrier, or nothing), and it."""


def fault(name: str, place: str) -> Callable[[Make], Make]:
    """Enter one in FAULTS."""

    def enter(make: Make) -> Make:
        FAULTS[name] = place, make
        return make

    return enter
