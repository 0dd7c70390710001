"""docs/systems.md is whole and true: every system has an answer, every check a system."""

import re
from pathlib import Path

import pytest

from tests.collector.inventory.folders import shipped

PAGE = Path(__file__).parents[2] / "docs/systems.md"
PROVINCES = ("phu-tho", "thanh-hoa")
MARKS = {"Phú Thọ": ("phu-tho",), "Thanh Hóa": ("thanh-hoa",)}
ROWS = [
    f"{letter}{number}"
    for letter, numbers in (("L", 7), ("V", 5), ("A", 9), ("D", 13))
    for number in range(1, numbers + 1)
]


def table() -> dict[str, list[str]]:
    """Return the cells of each row: system, checks, by hand."""
    lines = re.findall(r"^\| ([LVAD]\d+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {row: cells.split(" | ") for row, cells in lines}


def named(cell: str) -> dict[str, set[str]]:
    """Return the check ids that a cell names for each province."""
    found: dict[str, set[str]] = {province: set() for province in PROVINCES}
    for part in cell.split("; "):
        mark, colon, _ = part.partition(": ")
        for province in MARKS.get(mark, PROVINCES) if colon else PROVINCES:
            found[province] |= set(re.findall(r"`([a-z0-9-]+)`", part))
    return found


def test_every_row_is_there_once():
    """The 34 rows in their order, each with checks, a person, or another row's checks."""
    lines = re.findall(r"^\| ([LVAD]\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert lines == ROWS
    for row, (_, checks, by_hand) in table().items():
        by_machine = any(named(checks).values()) or re.search(r"those of [LVAD]\d", checks)
        assert by_machine or by_hand != "–", f"{row}: nobody answers for it"


@pytest.mark.parametrize("province", PROVINCES)
def test_checks_of_the_page_are_the_provinces(province):
    """No check on the page that a province does not have, none of a province without a system."""
    on_the_page = set().union(*(named(checks)[province] for _, checks, _ in table().values()))

    assert on_the_page == set(shipped(province).checks)


def test_marks_are_needed():
    """What both provinces have is not marked as one's."""
    both = set(shipped("phu-tho").checks) & set(shipped("thanh-hoa").checks)
    for _, checks, _ in table().values():
        found = named(checks)
        assert not (found["phu-tho"] ^ found["thanh-hoa"]) & both
