import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Incident, Member
from collector.inventory.model import Series, Site
from collector.state.states import SiteState
from collector.wall.causes import LONGEST, scope, sentence, title, troubles
from collector.wall.locale import TEXTS
from tests.collector.a_province import NOON, a_province

SITES = {
    f"0{n:04}": Site(
        id=f"0{n:04}",
        name=f"Phường Số {n}" if n % 10 == 0 else f"Xã Số {n}",
        kind="phường" if n % 10 == 0 else "xã",
        former_province="Hòa Bình",
        lat=None,
        lon=None,
        agents=(f"0{n:04}",),
    )
    for n in range(1, 149)
}
HERE = replace(a_province(), sites=SITES)
CODES = list(SITES)


def silent(site: str, since: float = NOON) -> Incident:
    """Return the incident of a silent site."""
    return Incident(
        id=f"x-{site}",
        cause="site_silent",
        scope="site",
        severity="page",
        sites=(site,),
        since=since,
        opened_at=since + 4,
    )


def failing(
    site: str, check: str = "tthc", failure: str = "timeout", since: float = NOON
) -> Incident:
    """Return the incident of a check that fails at a site."""
    member = Member(series=Series(site, check, "a.example", ""), since=since, failure=failure)
    return Incident(
        id=f"x-{site}-{check}",
        cause="check_down",
        scope="central",
        severity="page",
        sites=(site,),
        check=check,
        system="tthc",
        owner="VNPT Phú Thọ",
        since=since,
        opened_at=since + 2,
        members=(member,),
    )


def said(incidents: list[Incident], lang: str = "vi", down: tuple[str, ...] = ()) -> list[str]:
    """Return sentence, proof, and title and scope of every cause."""
    texts = TEXTS[lang]
    states = {site: SiteState(state="down" if site in down else "ok", since=NOON) for site in SITES}
    tally = {"ok": 148, "silent": 0, "down": 0, "degraded": 0, "never": 0, "closed": 0}
    found = troubles(incidents, HERE, states)
    pieces, proof = sentence(found, tally, HERE, NOON + 600, texts)
    lines = ["".join(piece.text for piece in pieces), proof]
    lines += [f"{title(one, HERE, texts)} / {scope(one, HERE, texts)}" for one in found]
    return [line.replace("\u00a0", " ") for line in lines]


def test_one_silent_commune_is_named():
    """By its full name, with the time, and without a guess at the cause."""
    assert said([silent(CODES[0])]) == [
        "Xã Số 1 mất liên lạc từ 12:00, chưa rõ vì sao.",
        "148/148 xã, phường ổn định.",
        "Xã Số 1 mất liên lạc / Chưa rõ vì sao: điện, máy hay đường truyền",
    ]
    assert (
        said([silent(CODES[0])], "en")[0]
        == "Số 1 commune not reporting since 12:00, cause not known."
    )


def test_several_of_a_kind_are_counted_by_it():
    """Communes, wards, or both; the first by name."""
    assert (
        said([silent(code) for code in CODES[:3]])[0]
        == "3 xã mất liên lạc từ 12:00, chưa rõ vì sao."
    )
    assert said([silent(CODES[9]), silent(CODES[19])])[0].startswith("2 phường mất liên lạc")
    lines = said([silent(code) for code in CODES[7:11]])
    assert lines[0].startswith("4 xã, phường mất liên lạc")
    assert lines[2] == "4 xã, phường mất liên lạc / Số 8, Số 9 và 2 nơi khác"
    assert said([silent(code) for code in CODES[7:11]], "en")[2].endswith("Số 8, Số 9 and 2 others")


def test_times_that_differ_are_not_told_as_one():
    """'Since 12:00' would be a lie for the one that went later."""
    lines = said([silent(CODES[0]), silent(CODES[1], NOON + 300)])

    assert lines[0] == "2 xã mất liên lạc, sớm nhất từ 12:00, chưa rõ vì sao."


def test_a_check_that_fails_at_many_places_is_one_cause():
    """With the owner of its system, and every reason once."""
    incidents = [failing(CODES[0]), failing(CODES[1], failure="refused"), failing(CODES[2])]

    assert said(incidents) == [
        "Kiểm tra tthc không đạt tại 3 xã từ 12:00, chủ trì: VNPT Phú Thọ.",
        "148/148 xã, phường ổn định.",
        "Kiểm tra tthc / 3 xã không đạt: hết thời gian chờ; từ chối kết nối",
    ]
    assert (
        said(incidents, "en")[2] == "Check tthc / 3 communes failing: timed out; connection refused"
    )


def test_a_layer_below_the_services_is_said_as_what_it_means():
    """But only where the place is cut off: one of several lines down is a check that fails."""
    incident = failing(CODES[0], "internet")

    assert said([incident], down=(CODES[0],))[2] == (
        "Xã Số 1 mất Internet / Kiểm tra internet: hết thời gian chờ"
    )
    assert said([incident])[2] == "Kiểm tra internet / Xã Số 1 không đạt: hết thời gian chờ"


def test_the_gravest_comes_first():
    """A silent commune weighs as five that miss one system; the rest is told below it."""
    few = [silent(CODES[0]), *(failing(code) for code in CODES[1:5])]
    many = [silent(CODES[0]), *(failing(code) for code in CODES[1:100])]

    assert said(few)[0].startswith("Xã Số 1 mất liên lạc")
    assert said(few)[1] == "148/148 xã, phường ổn định. Kiểm tra tthc không đạt tại 4 xã."
    assert said(many)[0].startswith("Kiểm tra tthc không đạt tại 99 xã, phường")
    assert said(many)[1].endswith("Xã Số 1 mất liên lạc.")


def test_three_other_causes_are_told_at_most():
    """Fewer where the line would break, then how many more there are."""
    checks = ["tthc", "dvcqg", "web", "dns", "gateway"]
    incidents = [failing(CODES[i], check) for i, check in enumerate(checks)] + [silent(CODES[9])]
    short = [failing(CODES[i], check) for i, check in enumerate("abcde")]

    assert said(short)[1].endswith(
        "b không đạt tại Xã Số 2; c không đạt tại Xã Số 3; d không đạt tại Xã Số 4; và 1 nguyên nhân khác."
    )
    assert said(incidents)[1] == (
        "148/148 xã, phường ổn định. Kiểm tra tthc không đạt tại Xã Số 1; "
        "Kiểm tra dvcqg không đạt tại Xã Số 2; và 3 nguyên nhân khác."
    )
    assert said(incidents, "en")[1].endswith(
        "; Check dvcqg failing at Số 2 commune; and 3 other causes."
    )


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_sentence_is_read_at_a_glance(lang):
    """What is too long loses who is on it, never the number or the time."""
    long_name = replace(
        failing(CODES[0]), owner="Đơn vị vận hành Cổng Dịch vụ công quốc gia, và các nơi khác"
    )

    line = said([long_name, failing(CODES[1])], lang)[0]

    assert len(line) <= LONGEST
    assert line.endswith("12:00.")
    assert "2" in line


def test_a_check_or_a_failure_nobody_knows_any_more():
    """The inventory may have changed, and a later agent may know other words."""
    gone = replace(failing(CODES[0], failure="quantum"), check="gone")

    assert said([gone])[2] == "gone / Xã Số 1 không đạt: lỗi chưa phân loại"


def test_a_member_that_is_up_again_is_no_reason():
    """Only what still fails is told."""
    incident = failing(CODES[0])
    up = Member(
        series=Series(CODES[0], "tthc", "b.example", ""),
        since=NOON,
        failure="refused",
        up_at=NOON + 9,
    )

    assert said([replace(incident, members=(*incident.members, up))])[2].endswith(
        "không đạt: hết thời gian chờ"
    )
