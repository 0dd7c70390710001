"""maintenance.yml: what it may say, and what is refused with file and line."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from collector.inventory.load import load
from collector.inventory.model import Text, Window
from tests.collector.inventory.folders import FILES, problems, write

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
GOOD = """\
windows:
- id: vnpt-28-6
  name: {vi: VNPT sửa cáp, en: VNPT cable work}
  begins: 2025-06-28 22:00
  ends: 2025-06-29 02:00
  carriers: [vnpt]
  areas: [Hòa Bình]
- id: backup
  name: {vi: Sao lưu đêm, en: Nightly backup}
  days: [sun, sat]
  span: "22:00-02:00"
  systems: [web]
"""


def refused(tmp_path, old: str, new: str) -> list[str]:
    """Return what is said of the file with one thing changed."""
    assert GOOD.count(old) >= 1
    return problems(write(tmp_path, {**FILES, "maintenance.yml": GOOD.replace(old, new, 1)}))


def test_a_province_without_the_file_has_no_windows(tmp_path):
    """It is the one file that may be missing."""
    assert load(write(tmp_path)).maintenance == ()


def test_both_forms_are_read(tmp_path):
    """One time in the province's own time, and each of some days, in the order of the week."""
    assert load(write(tmp_path, {**FILES, "maintenance.yml": GOOD})).maintenance == (
        Window(
            id="vnpt-28-6",
            name=Text(vi="VNPT sửa cáp", en="VNPT cable work"),
            begins=datetime(2025, 6, 28, 22, tzinfo=ZONE),
            ends=datetime(2025, 6, 29, 2, tzinfo=ZONE),
            carriers=("vnpt",),
            areas=("Hòa Bình",),
        ),
        Window(
            id="backup",
            name=Text(vi="Sao lưu đêm", en="Nightly backup"),
            days=("sat", "sun"),
            span=(time(22), time(2)),
            systems=("web",),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "carriers: [vnpt]",
            "carriers: [vnptt]",
            "maintenance.yml line 6, windows[vnpt-28-6].carriers: found 'vnptt', which nothing in this folder has; did you mean 'vnpt'?",
        ),
        (
            "areas: [Hòa Bình]",
            "areas: [Hoà]",
            "maintenance.yml line 7, windows[vnpt-28-6].areas: found 'Hoà', which nothing in this folder has; expected one of: Hòa Bình, Phú Thọ",
        ),
        (
            "systems: [web]",
            "sytems: [web]",
            (
                "maintenance.yml line 12, windows[backup].sytems: unknown key; did you mean 'systems'?\n"
                "maintenance.yml line 8, windows[backup]: covers nothing, expected one or more of: sites, areas, lines, carriers, systems"
            ),
        ),
        (
            "2025-06-29 02:00",
            "2025-06-28 02:00",
            "maintenance.yml line 5, windows[vnpt-28-6].ends: 2025-06-28 02:00:00+07:00 is not after begins, 2025-06-28 22:00:00+07:00",
        ),
        (
            "22:00-02:00",
            "22h-2h",
            "maintenance.yml line 11, windows[backup].span: found '22h-2h', expected such as '22:00-02:00'",
        ),
        (
            "  days: [sun, sat]\n",
            "",
            "maintenance.yml line 8, windows[backup]: expected either begins and ends, or days and span",
        ),
        (
            "id: backup",
            "id: vnpt-28-6",
            "maintenance.yml line 8, windows[vnpt-28-6].id: is used twice",
        ),
        (
            "id: backup",
            "id: Sao lưu",
            "maintenance.yml line 8, windows[Sao lưu].id: found 'Sao lưu', expected small letters, digits, '.', '_' or '-', at most 64",
        ),
        (
            "2025-06-28 22:00",
            "thứ bảy",
            (
                "maintenance.yml line 4, windows[vnpt-28-6].begins: found 'thứ bảy', expected a date and time such as 2025-06-30 07:30\n"
                "maintenance.yml line 2, windows[vnpt-28-6]: expected either begins and ends, or days and span"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, old, new, problem):
    """File, line, key and what was expected."""
    assert refused(tmp_path, old, new) == problem.split("\n")
