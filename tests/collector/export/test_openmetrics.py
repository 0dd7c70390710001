"""The text for promtool, by what any sample says, read by a parser that is not ours."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from collector.export.openmetrics import END, seat_of, text_of
from collector.export.point_sort import PointSort
from collector.export.write_request import Row, read_labels, write_labels
from collector.inventory.model import Series
from tests.collector.a_province import YPHU, a_sample
from tests.collector.export.openmetrics import read_openmetrics
from tests.collector.export.test_write_request import samples

TIMES = st.integers(1_735_689_600_000, 2_145_916_800_000)
"""2025 to 2037: until then a double holds a time in seconds to the millisecond."""


def text(points, *, held_points: int = 3) -> str:
    """Return the text of attempts: (milliseconds, numbers) each."""
    with PointSort(Path(tempfile.gettempdir()), seat_of, held_points=held_points) as sort:
        for milliseconds, numbers in points:
            sort.add(milliseconds, numbers)
        return b"".join(text_of(sort.sorted())).decode()


@settings(max_examples=60)
@given(st.lists(st.tuples(samples(), TIMES), max_size=8), st.integers(1, 40))
def test_the_text_says_what_a_request_says(attempts, held_points):
    """Any attempts in any order: each number once, its series, value and time as remote write has them."""
    said, points = {}, []
    for (series, sample), at in attempts:
        counters = {name: float(abs(round(total))) for name, total in sample.counters.items()}
        told = replace(sample, counters=counters)  # as totals are, and the parser wants them
        numbers = Row(series, YPHU).numbers(told)
        points.append((at, numbers))
        for name, number in numbers:
            said.setdefault((tuple(sorted(read_labels(name).items())), at), float(number))

    assert read_openmetrics(text(points, held_points=held_points)) == said


@given(TIMES)
def test_a_time_read_as_a_double_is_the_same_millisecond(at):
    """Prometheus multiplies by a thousand and cuts off: no time falls to the millisecond before."""
    name = write_labels({"__name__": "probe_success"})
    _, _, line, _ = text([(at, [(name, 1.0)])]).splitlines()

    assert int(float(line.split()[-1]) * 1000) == at


def test_families_stand_together_with_what_they_are():
    """A counter's family without _total, a summary's sum beside its count, quotes escaped, an end."""
    series = Series(YPHU, "gateway", 'a"b\\c\nd', "")
    counters = {"all_success_sum": 3.0, "all_success_count": 4.0, "errors": 1.0}
    numbers = Row(series, YPHU).numbers(a_sample(series, counters=counters))
    lines = text([(1_751_346_000_123, numbers), (1_751_346_000_007, numbers)]).splitlines()
    rest = '{agent="05305",check="gateway",instance="a\\"b\\\\c\\nd",job="thongsuot",site="05305"}'

    start = lines.index("# TYPE probe_all_success summary")
    assert lines[start + 2 : start + 6] == [
        f"probe_all_success_sum{rest} 3.0 1751346000.007",
        f"probe_all_success_count{rest} 4.0 1751346000.007",
        f"probe_all_success_sum{rest} 3.0 1751346000.123",
        f"probe_all_success_count{rest} 4.0 1751346000.123",
    ]
    start = lines.index("# TYPE probe_errors counter")
    assert lines[start + 2] == f"probe_errors_total{rest} 1.0 1751346000.007"
    assert lines[-1] == END.decode().strip()


def test_the_first_of_a_millisecond_stays():
    """Two numbers of one series and time, in two runs: the one that came first is written."""
    name = write_labels({"__name__": "probe_success"})
    with PointSort(Path(tempfile.gettempdir()), seat_of, held_points=1) as sort:
        for number in (1.0, 0.0):
            sort.add(1_751_346_000_000, [(name, number)])
        ((_, points),) = sort.sorted()

        assert [number for _, number in points] == [1.0]
        assert (sort.points, sort.doubled) == (1, 1)


def test_a_folder_without_room_is_told(tmp_path):
    """What the disk refuses is an OSError, not a shorter text."""
    with pytest.raises(OSError):
        PointSort(tmp_path / "nowhere", seat_of)
