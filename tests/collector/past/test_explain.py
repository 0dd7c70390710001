"""Why there is a page about a place, or none."""

from contextlib import closing

import pytest

from collector.database import open_reader
from collector.diagnosis.diagnose import Diagnosis
from collector.diagnosis.incident import Incident
from collector.diagnosis.words import title
from collector.past.explain import explain, see
from collector.past.record import read_heard
from collector.past.replay import replay
from tests.collector.a_province import NOON, TCOC, YPHU
from tests.collector.past.test_replay import WHOLE, Day

FAULTS = [(series, (50, 40)) for series in WHOLE.series_of_agent[YPHU] if series.check != "gateway"]

TITLE = title(
    Incident(
        id="",
        cause="line_down",
        scope="site",
        severity="page",
        sites=(YPHU,),
        line="vnpt",
        carrier="vnpt",
        since=0,
        opened_at=0,
    ),
    WHOLE,
).en


def explained(tmp_path, site, lang="en", *, absences=(), faults=(), until=80):
    """Live a day, go through it again until then, and explain a site."""
    day = Day(tmp_path)
    day.live(absences, faults, None)
    day.record.close()
    with closing(open_reader(tmp_path / "record.sqlite")) as database:
        heard = list(read_heard(database, NOON, NOON + until))
    *_, (fleet, now) = replay(WHOLE, heard, day.entries, NOON, NOON + until)
    return explain(site, see(fleet, Diagnosis(), now), list(day.incidents.open.values()), lang)


def test_each_failing_check_is_put_down_to_a_cause(tmp_path):
    """The rule and its facts stand there, with the incident that is open."""
    text = explained(tmp_path, YPHU, faults=FAULTS)
    print(text)
    lines = text.splitlines()
    assert lines[0] == "Phú Thọ province · Yên Phú commune (05305) · 12:01:20 01/07/2025"
    assert lines[1] == "PC 05305: reports, last heard 0 s ago"
    assert lines[5:] == [
        "Checks: 3 up, 4 down, 0 unknown",
        "  Check internet: anchor.example (vnpt), since 12:00:50 01/07/2025: timeout",
        "    -> part of line_down 05305/vnpt",
        "  Check dns: 192.168.1.1, since 12:00:50 01/07/2025: timeout",
        "    -> because of line_down 05305/vnpt",
        "  Check tthc: https://tthc.example/, since 12:00:50 01/07/2025: timeout",
        "    -> because of line_down 05305/vnpt",
        "  Check dvcqg: https://dvcqg.example/, since 12:00:50 01/07/2025: timeout",
        "    -> because of line_down 05305/vnpt",
        "",
        "line_down 05305/vnpt: Yên Phú commune",
        f"  {'rule':26}every anchor over this line fails, and nothing came through it since",
        "",
        "Open incidents:",
        f"  phu-tho-250701-001 12:00:53 01/07/2025 {TITLE} (line_down)",
    ]


@pytest.mark.parametrize(
    ("lang", "nothing", "none"),
    [
        (
            "vi",
            "Không có gì bất thường tại đây vào lúc này.",
            "Không có sự cố nào đang mở tại đây.",
        ),
        ("en", "Nothing is wrong here at this time.", "No incident is open here."),
    ],
)
def test_where_nothing_is_wrong_that_is_said(tmp_path, lang, nothing, none):
    """In both languages."""
    lines = explained(tmp_path, TCOC, lang, faults=FAULTS).splitlines()
    assert nothing in lines
    assert lines[-1] == none


def test_a_silence_is_a_cause(tmp_path):
    """A site that is not heard has no failing check, and a finding all the same."""
    text = explained(tmp_path, YPHU, absences=[(YPHU, (40, 60), False)])
    print(text)
    assert any(line.startswith("site_silent 05305: ") for line in text.splitlines())
