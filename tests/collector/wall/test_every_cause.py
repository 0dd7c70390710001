"""Every cause on the wall, word for word: the sentence, the card's title and its scope."""

import re
from typing import get_args

import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Cause, Incident
from collector.wall.causes import LONGEST
from tests.collector.a_province import NOON
from tests.collector.wall.test_causes import CODES, failing, said, silent

ONE, TWO, MANY = CODES[:1], CODES[:2], CODES[:23]


def an_incident(cause: Cause, sites: list[str], **more) -> Incident:
    """Return an incident of a cause."""
    whole = {"scope": "site", "severity": "page", "since": NOON, "opened_at": NOON + 2, **more}
    return Incident(id=f"x-{cause}", cause=cause, sites=tuple(sites), **whole)


CASES = [
    (
        an_incident("mass_silence", MANY, carrier="vnpt", owner="VNPT"),
        "23 xã, phường cùng mất liên lạc từ 12:00, chưa rõ vì sao.",
        "23 xã, phường cùng mất liên lạc / Số 1, Số 2 và 21 nơi khác",
        "23 communes and wards silent together since 12:00, cause not known.",
        "23 communes and wards silent together / Số 1, Số 2 and 21 others",
    ),
    (
        an_incident("carrier_outage", MANY, carrier="vnpt", area="Hòa Bình"),
        "Đứt đường VNPT vùng Hòa Bình tại 23 xã, phường từ 12:00, chủ trì: VNPT.",
        "Đứt đường VNPT vùng Hòa Bình tại 23 xã, phường / Số 1, Số 2 và 21 nơi khác",
        "Outage of VNPT in Hòa Bình at 23 communes and wards since 12:00, lead: VNPT.",
        "Outage of VNPT in Hòa Bình at 23 communes and wards / Số 1, Số 2 and 21 others",
    ),
    (
        an_incident("power_outage", TWO, area="Hòa Bình"),
        "2 xã mất điện từ 12:00.",
        "2 xã mất điện / Số 1, Số 2",
        "2 communes without power since 12:00.",
        "2 communes without power / Số 1, Số 2",
    ),
    (
        an_incident("collector_blind", CODES),
        "Máy chủ của tỉnh bị cắt mạng từ 12:00; tình trạng các xã không rõ.",
        ("Máy chủ của tỉnh bị cắt mạng / Tình trạng các xã không rõ cho đến khi có mạng trở lại"),
        ("The province's own server is cut off since 12:00; how the communes are is not known."),
        (
            "The province's own server is cut off / How the communes are is not known until it is"
            " back"
        ),
    ),
    (
        an_incident("lan_down", ONE, owner="UBND xã"),
        "Xã Số 1 hỏng mạng LAN từ 12:00, chủ trì: UBND xã.",
        "Xã Số 1 hỏng mạng LAN / ",
        "Số 1 commune: LAN down since 12:00, lead: UBND xã.",
        "Số 1 commune: LAN down / ",
    ),
    (
        an_incident("line_down", ONE, carrier="vnpt", line="ftth-1"),
        "Xã Số 1 đứt đường VNPT từ 12:00, chủ trì: VNPT.",
        "Xã Số 1 đứt đường VNPT / ",
        "Số 1 commune: VNPT line down since 12:00, lead: VNPT.",
        "Số 1 commune: VNPT line down / ",
    ),
    (
        an_incident("line_degraded", ONE, carrier="viettel", flapping=True),
        "Xã Số 1 suy giảm đường Viettel, chập chờn từ 12:00, chủ trì: Viettel.",
        "Xã Số 1 suy giảm đường Viettel, chập chờn / ",
        "Số 1 commune: Viettel line degraded, flapping since 12:00, lead: Viettel.",
        "Số 1 commune: Viettel line degraded, flapping / ",
    ),
    (
        an_incident("tslcd_outage", TWO, owner="Sở Khoa học và Công nghệ"),
        "2 xã mất mạng TSLCD từ 12:00, chủ trì: Sở KH&CN.",
        "2 xã mất mạng TSLCD / Số 1, Số 2",
        "2 communes: no dedicated network since 12:00, lead: Sở KH&CN.",
        "2 communes: no dedicated network / Số 1, Số 2",
    ),
    (
        an_incident("dns_broken", ONE),
        "Xã Số 1 không phân giải được tên miền từ 12:00.",
        "Xã Số 1 không phân giải được tên miền / ",
        "Số 1 commune: name resolution broken since 12:00.",
        "Số 1 commune: name resolution broken / ",
    ),
    (
        an_incident("dns_hijack", ONE),
        "Máy chủ tên miền trả lời sai tại Xã Số 1 từ 12:00.",
        "Máy chủ tên miền trả lời sai tại Xã Số 1 / Có thể dẫn người dùng tới trang giả",
        "Name server gives wrong answers at Số 1 commune since 12:00.",
        "Name server gives wrong answers at Số 1 commune / It may lead users to a false page",
    ),
    (
        an_incident("captive_portal", ONE),
        "Internet bị chặn bởi trang đăng nhập tại Xã Số 1 từ 12:00.",
        "Internet bị chặn bởi trang đăng nhập tại Xã Số 1 / ",
        "Internet held up by a login page at Số 1 commune since 12:00.",
        "Internet held up by a login page at Số 1 commune / ",
    ),
    (
        an_incident("mtu_blackhole", ONE),
        "Xã Số 1 mất gói tin lớn (lỗi MTU) từ 12:00.",
        ("Xã Số 1 mất gói tin lớn (lỗi MTU) / Gói nhỏ vẫn đi được: ping tốt mà trang nặng bị treo"),
        "Số 1 commune: large packets lost (MTU) since 12:00.",
        (
            "Số 1 commune: large packets lost (MTU) / "
            "Small ones get through: ping is fine while large pages hang"
        ),
    ),
    (
        an_incident("clock_wrong", ONE),
        "Đồng hồ máy sai tại Xã Số 1 từ 12:00.",
        "Đồng hồ máy sai tại Xã Số 1 / ",
        "Clock of the PC wrong at Số 1 commune since 12:00.",
        "Clock of the PC wrong at Số 1 commune / ",
    ),
    (
        an_incident("system_down", MANY, system="tthc", owner="Sở KHCN"),
        "Hệ thống TTHC ngừng hoạt động tại 23 xã, phường từ 12:00, chủ trì: Sở KHCN.",
        "Hệ thống TTHC ngừng hoạt động tại 23 xã, phường / Số 1, Số 2 và 21 nơi khác",
        "Procedures down, seen from 23 communes and wards since 12:00, lead: Sở KHCN.",
        "Procedures down, seen from 23 communes and wards / Số 1, Số 2 and 21 others",
    ),
    (
        an_incident("system_slow", ONE, system="tthc"),
        "Hệ thống TTHC chậm tại Xã Số 1 từ 12:00.",
        ("Hệ thống TTHC chậm tại Xã Số 1 / Lỗi phía máy chủ, không phải đường truyền xã"),
        "Procedures slow, seen from Số 1 commune since 12:00.",
        (
            "Procedures slow, seen from Số 1 commune / "
            "The fault is the server's, not the communes' lines"
        ),
    ),
    (
        an_incident("system_unreachable_from_site", ONE, system="tthc"),
        "Xã Số 1 không vào được Hệ thống TTHC từ 12:00.",
        "Xã Số 1 không vào được Hệ thống TTHC / Nơi khác vẫn vào được",
        "Số 1 commune cannot reach Procedures since 12:00.",
        "Số 1 commune cannot reach Procedures / Others reach it",
    ),
    (
        an_incident("vc_degraded", ONE),
        "Điểm cầu suy giảm tại Xã Số 1 từ 12:00.",
        "Điểm cầu suy giảm tại Xã Số 1 / Họp sẽ giật",
        "Conference quality degraded at Số 1 commune since 12:00.",
        "Conference quality degraded at Số 1 commune / Meetings will stutter",
    ),
    (
        an_incident("certificate", TWO, system="tthc"),
        "Chứng thư bảo mật của Hệ thống TTHC cần xử lý từ 12:00.",
        "Chứng thư bảo mật của Hệ thống TTHC cần xử lý / Số 1, Số 2",
        "Certificate of Procedures needs attention since 12:00.",
        "Certificate of Procedures needs attention / Số 1, Số 2",
    ),
    (
        an_incident("external", ONE, system="dvcqg", owner="VPCP"),
        "Cổng DVC quốc gia lỗi (ngoài tỉnh) tại Xã Số 1 từ 12:00, chủ trì: VPCP.",
        ("Cổng DVC quốc gia lỗi (ngoài tỉnh) tại Xã Số 1 / Trong tỉnh không ai sửa được"),
        "Portal failing (outside the province), seen from Số 1 commune since 12:00, lead: VPCP.",
        (
            "Portal failing (outside the province), seen from Số 1 commune / "
            "Nobody in the province can mend it"
        ),
    ),
]


@pytest.mark.parametrize(
    ("incident", "vi", "vi_card", "en", "en_card"), CASES, ids=[one[0].cause for one in CASES]
)
def test_the_words_of_a_cause(incident, vi, vi_card, en, en_card):
    """Read at a glance, in both languages; the card says what the sentence has no room for."""
    assert said([incident])[0] == vi
    assert said([incident])[2] == vi_card
    assert said([incident], "en")[0] == en
    assert said([incident], "en")[2] == en_card
    assert len(vi) <= LONGEST


def test_every_cause_has_a_case():
    """The other two are told in test_causes.py."""
    assert {one[0].cause for one in CASES} == set(get_args(Cause)) - {"site_silent", "check_down"}


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("cause", get_args(Cause))
def test_no_raw_name_is_shown(cause, lang):
    """An incident that names nothing is told in general words, never by an id of the program."""
    for line in filter(None, said([an_incident(cause, ONE, check="tthc")], lang)):
        assert not re.search(r"[a-z]_[a-z]|\{|\}|\[|\]|  ", line)
        assert line[0].isupper() or line[0].isdigit()


def test_what_is_known_while_the_centre_is_cut_off():
    """Nothing of the others: no counts of broken, whatever else is open."""
    blind = an_incident("collector_blind", ONE)
    lines = said([silent(CODES[5]), failing(CODES[6]), blind])

    assert lines[0].startswith("Máy chủ của tỉnh bị cắt mạng")
    assert lines[1] == ""


def test_two_outages_are_two_causes_and_one_fault_of_many_places_is_one():
    """Carriers are told apart; the same fault of five offices is counted."""
    vnpt = replace(an_incident("carrier_outage", MANY, carrier="vnpt"), id="a")
    viettel = replace(an_incident("carrier_outage", TWO, carrier="viettel"), id="b")
    lans = [replace(an_incident("lan_down", [code]), id=code) for code in CODES[:5]]

    assert said([vnpt, viettel, *lans])[0].startswith("Đứt đường VNPT tại 23 xã, phường")
    assert said([vnpt, viettel, *lans])[1] == (
        "148/148 xã, phường ổn định. 5 xã hỏng mạng LAN; Đứt đường Viettel tại 2 xã."
    )


def test_an_outage_cuts_off_whoever_has_no_other_line():
    """Its colour is what it does to the places: none of them is down while another line carries."""
    outage = an_incident("carrier_outage", TWO, carrier="vnpt")
    quiet = [silent(code) for code in CODES[10:11]]

    assert said([outage, *quiet])[0].startswith("Xã Số 11 mất liên lạc")
    assert said([outage, *quiet], down=(CODES[0],))[0].startswith("Đứt đường VNPT")
