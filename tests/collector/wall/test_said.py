"""What agents say of a failure, whole, in both languages; what is not ours is quoted as it is."""

import pytest

from agent.probes import PROBES
from collector.wall import said
from collector.wall.locale import TEXTS
from collector.wall.said import Gateway


@pytest.mark.parametrize(
    ("word", "detail", "vi", "en"),
    [
        (
            "refused",
            "in phase connect: Connection refused",
            ("từ chối kết nối (ở bước kết nối)", ""),
            ("connection refused (in phase connect)", ""),
        ),
        (
            "timeout",
            "in phase resolve",
            ("hết thời gian chờ (ở bước phân giải tên miền)", ""),
            ("timed out (in phase resolve)", ""),
        ),
        (
            "timeout",
            "no answer to 3 echoes",
            ("hết thời gian chờ: không có trả lời nào cho 3 gói", ""),
            ("timed out: no answer to 3 echoes", ""),
        ),
        (
            "timeout",
            "in phase setup: no answer to 2 small echoes",
            ("hết thời gian chờ (ở bước chuẩn bị): không có trả lời nào cho 2 gói", ""),
            ("timed out (in phase set-up): no answer to 2 echoes", ""),
        ),
        (
            "loss",
            "12 of 20 echoes lost, 10% allowed",
            ("mất quá nhiều gói tin: mất 12 trên 20 gói, cho phép 10%", ""),
            ("too many packets lost: 12 of 20 echoes lost, 10% allowed", ""),
        ),
        (
            "resolve_failed",
            "in phase resolve: Name or service not known",
            ("không phân giải được tên miền (ở bước phân giải tên miền)", ""),
            ("the name was not resolved (in phase resolve)", ""),
        ),
        (
            "malformed",
            "in phase warp: found timeout and closed, expected no answer within reset",
            (
                "trả lời sai giao thức (ở bước warp)",
                "found timeout and closed, expected no answer within reset",
            ),
            (
                "the answer does not follow its protocol (in phase warp)",
                "found timeout and closed, expected no answer within reset",
            ),
        ),
        (
            "unknown",
            "OSError: refused",
            ("lỗi chưa phân loại", "OSError: refused"),
            ("a failure of an unknown kind", "OSError: refused"),
        ),
        (
            "of_tomorrow",
            "Connection refused",
            ("lỗi chưa phân loại", "Connection refused"),
            ("a failure of an unknown kind", "Connection refused"),
        ),
        (
            "closed",
            "",
            ("đóng kết nối trước khi trả lời", ""),
            ("connection closed before an answer", ""),
        ),
    ],
)
def test_a_failure(word, detail, vi, en):
    """By its own name and phase; the system's words say nothing more; others' stay as they are."""
    assert said.failed(word, detail, TEXTS["vi"]) == vi
    assert said.failed(word, detail, TEXTS["en"]) == en


@pytest.mark.parametrize(
    ("text", "vi", "en"),
    [
        (
            "vnpt: failing, last push 35 s ago: timeout: no answer within 0.7 s",
            (
                "vnpt: hỏng, lần gửi được gần nhất 35 giây trước: "
                "hết thời gian chờ: không có trả lời trong 0,7 giây"
            ),
            "vnpt: failing, last push 35 s ago: timed out: no answer within 0.7 s",
        ),
        (
            "timeout: failing, last push never: refused: Connection refused",
            "timeout: hỏng, lần gửi được gần nhất chưa lần nào: từ chối kết nối",
            "timeout: failing, last push never: connection refused",
        ),
        (
            "4g: failing, last push 9 s ago: HTTP 503, busy: refused, never",
            "4g: hỏng, lần gửi được gần nhất 9 giây trước: “HTTP 503, busy: refused, never”",
            "4g: failing, last push 9 s ago: “HTTP 503, busy: refused, never”",
        ),
        (
            "viettel: ok, last push 1 s ago",
            "viettel: tốt, lần gửi gần nhất 1 giây trước",
            "viettel: fine, last push 1 s ago",
        ),
        ("a later form: timeout", "“a later form: timeout”", "“a later form: timeout”"),
    ],
)
def test_a_line(text, vi, en):
    """How its pushes fared; a line may be named like a word of ours."""
    assert (said.line(text, TEXTS["vi"]), said.line(text, TEXTS["en"])) == (vi, en)


@pytest.mark.parametrize(
    ("text", "vi", "en", "found"),
    [
        (
            "192.168.1.1 enp3s0: answered in 0.4 ms; arp 02:00:5e:00:53:01",
            "192.168.1.1 enp3s0: trả lời sau 0,4 ms; ARP 02:00:5e:00:53:01",
            "192.168.1.1 enp3s0: answered in 0.4 ms; ARP 02:00:5e:00:53:01",
            Gateway("192.168.1.1", answers=True, in_arp=True),
        ),
        (
            "192.168.1.1 arp: no answer; arp incomplete",
            "192.168.1.1 arp: không trả lời; ARP không có ai nhận",
            "192.168.1.1 arp: no answer; nobody answers ARP",
            Gateway("192.168.1.1", answers=False, in_arp=False),
        ),
        (
            "192.168.1.1 lan: no ping: not permitted here (Operation not permitted); arp unknown",
            "192.168.1.1 lan: không ping được: máy không cho phép; ARP chưa hỏi",
            "192.168.1.1 lan: no ping: not permitted on this PC; ARP was not asked",
            Gateway("192.168.1.1", answers=False, in_arp=False),
        ),
        ("no default route", "máy không có đường mặc định", "the PC has no default route", None),
        (
            "not measured: cannot use line at eth9: no such interface",
            "không đo được: “cannot use line at eth9: no such interface”",
            "could not be measured: “cannot use line at eth9: no such interface”",
            None,
        ),
        ("not finished in time", "không kịp đo trong thời hạn", "not finished in time", None),
    ],
)
def test_the_gateway(text, vi, en, found):
    """Ping and ARP, for people and for the verdict."""
    assert (said.gateway(text, TEXTS["vi"]), said.gateway(text, TEXTS["en"])) == (vi, en)
    assert said.read_gateway(text) == found


def test_resolvers():
    """What they answered is data: a name like a word of ours stays a name."""
    told = (
        "never.timeout.test A\n192.0.2.1: no answer\n2001:db8::1: 198.51.100.7, 198.51.100.9\n"
        "203.0.113.1: NXDOMAIN\n203.0.113.2: refused: Connection refused\n"
        "203.0.113.3: malformed answer: closed too early\nwhatever"
    )

    assert said.resolvers(told, TEXTS["vi"]) == (
        "never.timeout.test A",
        "192.0.2.1: không trả lời",
        "2001:db8::1: 198.51.100.7, 198.51.100.9",
        "203.0.113.1: NXDOMAIN",
        "203.0.113.2: từ chối kết nối",
        "203.0.113.3: trả lời sai giao thức: “closed too early”",
        "whatever",
    )
    assert said.resolvers("not finished in time", TEXTS["en"]) == ("not finished in time",)


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_phase_has_a_name(lang):
    """Those of all probes, and no others."""
    phases = {phase for probe in PROBES.values() for phase in probe.phases}

    assert set(TEXTS[lang].phases) == phases
    assert set(TEXTS[lang].remarks) == set(said.REMARKS)
