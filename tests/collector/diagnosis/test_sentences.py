"""Every cause in both languages, word for word: what people read on the day."""

import unicodedata
from typing import get_args

import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Cause, Incident, Member
from collector.diagnosis.phrases import PHRASES
from collector.diagnosis.proof import proof
from collector.diagnosis.words import owner, sentence, title, where
from collector.inventory.model import Inventory, Series, Text
from tests.collector.a_province import NOON, TCOC, YPHU, a_province

AT = "12:00:00 01/07/2025"
MANY = tuple(f"0{n:04}" for n in range(1, 61))


def a_whole_province() -> Inventory:
    """Return 60 communes more, half of them with a line of VNPT."""
    small = a_province()
    more = {
        site: replace(small.sites[YPHU], id=site, name=f"Số {n}", agents=(site,))
        for n, site in enumerate(MANY, 1)
    }
    lines = dict.fromkeys(MANY[::2], small.lines[YPHU])
    return replace(small, sites={**small.sites, **more}, lines={**small.lines, **lines})


HERE = a_whole_province()


def an_incident(cause: Cause, *sites: str, **more) -> Incident:
    """Return an incident of a cause, seen at Yên Phú where nothing else is said."""
    return Incident(
        id="phu-tho-250701-001",
        cause=cause,
        scope="site",
        severity="page",
        sites=sites or (YPHU,),
        since=NOON,
        opened_at=NOON,
        **more,
    )


def failing(check: str, target: str, line: str = "") -> tuple[Member, ...]:
    """Return a member that fails."""
    return (Member(series=Series(YPHU, check, target, line), since=NOON, failure="timeout"),)


SENTENCES = [
    (
        an_incident("site_silent"),
        f"Xã Yên Phú mất liên lạc từ {AT}. Chưa rõ vì sao: điện, máy hay đường truyền.",
        f"Yên Phú commune: not reporting since {AT}. Cause not known yet: power, PC or line.",
    ),
    (
        an_incident("mass_silence", *MANY[:23], carrier="vnpt"),
        (
            f"Nhiều nơi cùng mất liên lạc từ {AT}: 23 nơi: Xã Số 1, Xã Số 2, Xã Số 3 và 20 nơi khác. "
            "Chưa rõ vì sao: điện hay nhà mạng."
        ),
        (
            f"Many places not reporting since {AT}: 23 places: Số 1 commune, Số 2 commune, "
            "Số 3 commune and 20 more. Cause not known yet: power or a carrier."
        ),
    ),
    (
        an_incident("carrier_outage", *MANY[:10:2], carrier="vnpt"),
        (
            f"Đứt đường VNPT diện rộng từ {AT}: 5/33 nơi: Xã Số 1, Xã Số 3, Xã Số 5 và 2 nơi khác. "
            "Chủ trì: VNPT."
        ),
        (
            f"Wide outage of VNPT since {AT}: 5/33 places: Số 1 commune, Số 3 commune, Số 5 commune "
            "and 2 more. Lead: VNPT."
        ),
    ),
    (
        an_incident("power_outage", *MANY[:2], area="Hòa Bình"),
        (
            f"Mất điện vùng Hòa Bình từ {AT}: 2/63 nơi: Xã Số 1, Xã Số 2. "
            "Trạm đo báo mất điện, không phải lỗi mạng."
        ),
        (
            f"Power cut in Hòa Bình since {AT}: 2/63 places: Số 1 commune, Số 2 commune. "
            "The PCs there told of it: no fault of the network."
        ),
    ),
    (
        an_incident("collector_blind", *MANY, owner="Sở KHCN"),
        (
            f"Máy chủ của tỉnh bị cắt mạng từ {AT}. "
            "Tình trạng các xã không rõ cho đến khi có mạng trở lại. Chủ trì: Sở KHCN."
        ),
        (
            f"The province's own server is cut off since {AT}. "
            "How the communes are is not known until it is back. Lead: Sở KHCN."
        ),
    ),
    (
        an_incident("lan_down", owner="UBND xã", members=failing("gateway", "192.168.1.1")),
        f"Xã Yên Phú hỏng mạng LAN từ {AT}. Không đạt: 192.168.1.1. Chủ trì: UBND xã.",
        f"Yên Phú commune: LAN down since {AT}. Failing: 192.168.1.1. Lead: UBND xã.",
    ),
    (
        an_incident("line_down", TCOC, carrier="vnpt", line="vnpt"),
        f"Xã Thượng Cốc đứt đường VNPT từ {AT}. Chủ trì: VNPT.",
        f"Thượng Cốc commune: VNPT line down since {AT}. Lead: VNPT.",
    ),
    (
        an_incident(
            "line_degraded",
            carrier="viettel",
            line="du-phong",
            facts={
                "line/05305/du-phong": "loss 4.2 % (limit 2 %), delay 180 ms (usual 9 ms, limit 100 ms)"
            },
            flapping=True,
        ),
        (
            f"Xã Yên Phú suy giảm đường Viettel (du-phong), chập chờn từ {AT}. "
            "Chứng cứ: mất gói 4,2% (mức đạt 2%), độ trễ 180 ms (bình thường 9 ms, mức đạt 100 ms). Chủ trì: Viettel."
        ),
        (
            f"Yên Phú commune: Viettel (du-phong) line degraded, flapping since {AT}. "
            "Evidence: loss 4.2 % (limit 2 %), delay 180 ms (usual 9 ms, limit 100 ms). Lead: Viettel."
        ),
    ),
    (
        an_incident("tslcd_outage", YPHU, TCOC, owner="Sở KHCN"),
        f"Mất mạng TSLCD từ {AT}: Xã Yên Phú, Xã Thượng Cốc. Chủ trì: Sở KHCN.",
        (
            f"No dedicated data network (TSLCD) since {AT}: Yên Phú commune, Thượng Cốc commune. "
            "Lead: Sở KHCN."
        ),
    ),
    (
        an_incident("dns_broken", members=failing("dns", "192.168.1.1")),
        f"Xã Yên Phú không phân giải được tên miền từ {AT}. Không đạt: 192.168.1.1.",
        f"Yên Phú commune: name resolution broken since {AT}. Failing: 192.168.1.1.",
    ),
    (
        an_incident("dns_hijack", facts={"answer": "198.51.100.7"}),
        (f"Máy chủ tên miền trả lời sai từ {AT}: Xã Yên Phú. Có thể dẫn người dùng tới trang giả."),
        (
            f"Name server gives wrong answers since {AT}: Yên Phú commune. "
            "It may lead users to a false page."
        ),
    ),
    (
        an_incident("captive_portal"),
        f"Internet bị chặn bởi trang đăng nhập từ {AT}: Xã Yên Phú.",
        f"Internet held up by a login page since {AT}: Yên Phú commune.",
    ),
    (
        an_incident("mtu_blackhole"),
        (
            f"Xã Yên Phú mất gói tin lớn (lỗi MTU) từ {AT}. "
            "Gói nhỏ vẫn đi được: ping tốt mà trang nặng bị treo."
        ),
        (
            f"Yên Phú commune: large packets lost (MTU) since {AT}. "
            "Small ones get through: ping is fine while large pages hang."
        ),
    ),
    (
        an_incident("clock_wrong", facts={"clock": "+312 s"}),
        f"Đồng hồ máy sai từ {AT}: Xã Yên Phú. Chứng cứ: lệch +312 giây.",
        f"Clock of the PC wrong since {AT}: Yên Phú commune. Evidence: off by +312 s.",
    ),
    (
        an_incident("system_down", YPHU, TCOC, system="tthc", owner="Sở KHCN"),
        (
            f"Hệ thống TTHC ngừng hoạt động từ {AT}: Xã Yên Phú, Xã Thượng Cốc. "
            "Lỗi phía máy chủ, không phải đường truyền xã. Chủ trì: Sở KHCN."
        ),
        (
            f"Procedures down since {AT}: Yên Phú commune, Thượng Cốc commune. "
            "The fault is the server's, not the communes' lines. Lead: Sở KHCN."
        ),
    ),
    (
        an_incident(
            "system_slow",
            system="tthc",
            facts={
                "seen from": "12 of 74 sites",
                "web/tthc/05305": "delay 9800 ms (limit 3000 ms)",
            },
        ),
        (
            f"Hệ thống TTHC chậm từ {AT}: Xã Yên Phú. "
            "Chứng cứ: thấy từ 12/74; độ trễ 9800 ms (mức đạt 3000 ms). "
            "Lỗi phía máy chủ, không phải đường truyền xã."
        ),
        (
            f"Procedures slow since {AT}: Yên Phú commune. Evidence: seen from 12/74; delay 9800 ms (limit 3000 ms). "
            "The fault is the server's, not the communes' lines."
        ),
    ),
    (
        an_incident("system_unreachable_from_site", system="tthc"),
        f"Xã Yên Phú không vào được Hệ thống TTHC từ {AT}. Nơi khác vẫn vào được.",
        f"Yên Phú commune: cannot reach Procedures since {AT}. Others reach it.",
    ),
    (
        an_incident("vc_degraded", facts={"conference/vc/05305": "jitter 40 ms (limit 30 ms)"}),
        f"Điểm cầu suy giảm từ {AT}: Xã Yên Phú. Chứng cứ: rung pha 40 ms (mức đạt 30 ms). Họp sẽ giật.",
        (
            f"Conference quality degraded since {AT}: Yên Phú commune. "
            "Evidence: jitter 40 ms (limit 30 ms). Meetings will stutter."
        ),
    ),
    (
        an_incident("certificate", system="tthc"),
        (f"Chứng thư bảo mật của Hệ thống TTHC cần xử lý từ {AT}: Xã Yên Phú."),
        (f"Certificate of Procedures needs attention since {AT}: Yên Phú commune."),
    ),
    (
        an_incident("external", system="dvcqg", owner="VPCP"),
        (
            f"Cổng DVC quốc gia lỗi (ngoài tỉnh) từ {AT}: Xã Yên Phú. "
            "Trong tỉnh không ai sửa được. Chủ trì: VPCP."
        ),
        (
            f"Portal failing (outside the province) since {AT}: Yên Phú commune. "
            "Nobody in the province can mend it. Lead: VPCP."
        ),
    ),
    (
        an_incident("check_down", check="tthc", members=failing("tthc", "https://a.example/")),
        f"Sự cố: Kiểm tra tthc từ {AT}: Xã Yên Phú. Không đạt: https://a.example/.",
        f"Failing: Check tthc since {AT}: Yên Phú commune. Failing: https://a.example/.",
    ),
]


@pytest.mark.parametrize(
    ("incident", "vi", "en"), SENTENCES, ids=lambda one: getattr(one, "cause", "")
)
def test_the_sentence_of_a_cause(incident, vi, en):
    """What, where, since when, what is known of it, whose it is."""
    assert sentence(incident, HERE) == Text(vi=vi, en=en)


def test_every_cause_has_its_sentence():
    """None without words, none without a case above; letters are composed."""
    assert set(PHRASES) == set(get_args(Cause)) == {incident.cause for incident, _, _ in SENTENCES}
    for phrase in PHRASES.values():
        for text in (phrase.title.vi, phrase.hint.vi):
            assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("cause", get_args(Cause))
def test_what_an_incident_does_not_name_is_not_invented(cause):
    """No carrier, system, line or check: a general word, never an empty place or a raw id."""
    said = title(an_incident(cause, "99999", check="gone"), HERE)

    for text in (said.vi, said.en):
        assert text == text.strip()
        assert "_" not in text
        assert "  " not in text
        assert text[0].isupper()
    if cause == "line_down":
        assert said == Text(vi="Đứt đường truyền", en="Line down")
    if cause == "system_down":
        assert said == Text(vi="Nhiều hệ thống ngừng hoạt động", en="Several systems down")


def test_a_cause_understood_better_is_called_by_what_is_known_now():
    """The same incident: first nobody is named, then the carrier, who then has to act."""
    first = an_incident("mass_silence", *MANY[:5], carrier="vnpt", owner="VNPT")
    then = replace(first, cause="carrier_outage", area="Hòa Bình")

    assert title(first, HERE).vi == "Nhiều nơi cùng mất liên lạc"
    assert owner(first, HERE) == ""
    assert title(then, HERE).vi == "Đứt đường VNPT diện rộng vùng Hòa Bình"
    assert title(then, HERE).en == "Wide outage of VNPT in Hòa Bình"
    assert owner(then, HERE) == "VNPT"


def test_a_server_cut_off_has_no_places():
    """What it cannot see it does not list."""
    assert where(an_incident("collector_blind", *MANY), HERE) == Text(vi="", en="")


@pytest.mark.parametrize(
    ("facts", "vi", "en"),
    [
        ({}, "", ""),
        ({"rule": "many sites of one carrier or area fell silent together"}, "", ""),
        ({"data centre": "line down", "05305 power": "battery"}, "", ""),
        ({"silent": "12 of 74 sites"}, "mất liên lạc 12/74", "12/74 silent"),
        (
            {"silent": "12 of 74 sites", "lines down": "3 of 4 that report otherwise"},
            "mất liên lạc 12/74; nơi còn báo về thấy đứt đường 3/4",
            "12/74 silent; 3/4 that still report: line down",
        ),
        ({"on battery": "6 of 8 that told"}, "chạy pin 6/8", "6/8 on battery"),
        (
            {"a": "delay 180 ms (limit 100 ms)", "b": "delay 190 ms (limit 100 ms)"},
            "độ trễ 180 ms (mức đạt 100 ms)",
            "delay 180 ms (limit 100 ms)",
        ),
        ({"failing": "https://a.example/, https://b.example/ and 3 more"}, "", ""),
        ({"a": "delay on the way"}, "", ""),
    ],
)
def test_told_is_what_has_a_known_form(facts, vi, en):
    """Whole or not at all: no English in a Vietnamese page; of many places the first speaks."""
    assert (proof(facts, "vi"), proof(facts, "en")) == (vi, en)
