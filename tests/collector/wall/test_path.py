"""Where a way breaks, in words and in a table beside the last good one."""

import pytest

from agent.wire import read_path
from collector.wall.locale import TEXTS
from collector.wall.path import Cell, aim, steps, verdict
from collector.wall.said import Gateway

VI = TEXTS["vi"]
GOOD = """\
tcp 203.0.113.9 443
1 192.168.1.1 0.4 0.4
2 10.88.0.1 1.8 1.9
3 10.88.40.1 4.2
3 10.88.40.5 4.9
4 *
5 203.0.113.9 6.1 6.3 answered"""


def a_path(text: str):
    """Return the path of a text that is one."""
    path = read_path(text)
    assert path is not None
    return path


@pytest.mark.parametrize(
    ("hops", "said"),
    [
        (
            "1 192.168.1.1 0.4 0.5\n2 10.88.0.1 1.9 *\n3-20 *",
            (
                "Đứt sau chặng 2 (10.88.0.1): từ đó không ai trả lời. "
                "Lần tốt gần nhất, chặng 3 là 10.88.40.1."
            ),
        ),
        (
            "1 192.168.1.1 0.4 0.5\n2 192.168.1.1 0.4 0.4 host_unreachable",
            "Đứt tại chặng 2: 192.168.1.1 báo không tới được máy.",
        ),
        (
            "1 192.168.1.1 0.4 0.5\n2 203.0.113.9 0.4 0.4 refused",
            "Tới được máy đích (203.0.113.9, chặng 2); máy đích báo: từ chối kết nối.",
        ),
        (
            "1 203.0.113.9 0.4 0.5 answered",
            (
                "Đường đi thông tới đích (203.0.113.9, chặng 1): "
                "lỗi nằm ở dịch vụ, không ở đường truyền."
            ),
        ),
        (
            "1 10.0.0.1 1.0\n2 10.0.0.2 1.0\n3 10.0.0.1 1.0\n4 10.0.0.2 1.0\n5 10.0.0.1 1.0\n6 10.0.0.2 1.0",
            "Gói tin đi vòng giữa 10.0.0.1, 10.0.0.2.",
        ),
        ("1-20 *", "Không chặng nào trả lời, kể cả bộ định tuyến tại chỗ."),
        ("0 here host_unreachable", "Gói tin không ra khỏi máy trạm: không tới được máy."),
        ("1 10.0.0.1 1.0 some_later_word", "Đứt tại chặng 1: 10.0.0.1 báo lỗi chưa phân loại."),
    ],
)
def test_where_it_breaks(hops, said):
    """Each way to break has its own sentence."""
    assert verdict(a_path(f"tcp 203.0.113.9 443\n{hops}"), a_path(GOOD), VI) == said


def test_without_a_good_path():
    """Nothing is compared where there is nothing to compare with, or it goes no further."""
    now = a_path("tcp 203.0.113.9 443\n1 192.168.1.1 0.4 0.5\n2-20 *")
    short = a_path("tcp 203.0.113.9 443\n1 192.168.1.1 0.4")
    said = "Đứt sau chặng 1 (192.168.1.1): từ đó không ai trả lời."

    assert [verdict(now, good, VI) for good in (None, short)] == [said, said]


@pytest.mark.parametrize(
    ("gateway", "vi", "en"),
    [
        (
            Gateway("192.168.1.1", answers=True, in_arp=True),
            "Bộ định tuyến tại chỗ trả lời; sau nó không chặng nào trả lời.",
            "The router on the spot answers; behind it no hop does.",
        ),
        (
            Gateway("203.0.113.9", answers=True, in_arp=True),
            "Bộ định tuyến tại chỗ trả lời ping, nhưng không trả lời TCP 203.0.113.9:443.",
            "The router on the spot answers a ping, but not TCP 203.0.113.9:443.",
        ),
        (
            Gateway("192.168.1.1", answers=False, in_arp=True),
            (
                "Không chặng nào trả lời; bộ định tuyến tại chỗ không trả lời ping "
                "nhưng còn trong bảng ARP."
            ),
            "No hop answers; the router on the spot answers no ping, but ARP still knows it.",
        ),
        (
            Gateway("192.168.1.1", answers=False, in_arp=False),
            "Không chặng nào trả lời, kể cả bộ định tuyến tại chỗ.",
            "No hop answers, not even the router on the spot.",
        ),
    ],
)
def test_silence_beside_what_the_gateway_did(gateway, vi, en):
    """A gateway that is there is not called silent because it sent no error."""
    now = a_path("tcp 203.0.113.9 443\n1-20 *")

    assert [verdict(now, None, TEXTS[lang], gateway) for lang in ("vi", "en")] == [vi, en]
    if gateway.answers and gateway.address != now.address:
        assert verdict(now, a_path(GOOD), VI, gateway) == (
            f"{vi} Lần tốt gần nhất, chặng 2 là 10.88.0.1."
        )
        cut = [step.distance for step in steps(now, a_path(GOOD), VI, gateway) if step.cut]
        assert cut == ["2"]


def test_side_by_side():
    """Hops of one distance stand in one row; where it breaks is marked; silence to the end is one row."""
    now = a_path("tcp 203.0.113.9 443\n1 192.168.1.1 0.4 0.5\n2 10.88.0.1 1.9 *\n3-20 *")
    silent = Cell("không trả lời", silent=True)

    found = steps(now, a_path(GOOD), VI)
    assert [(step.distance, step.now, step.good) for step in found] == [
        ("1", Cell("192.168.1.1", "0,4 · 0,5 ms"), Cell("192.168.1.1", "0,4 · 0,4 ms")),
        ("2", Cell("10.88.0.1", "1,9 · * ms"), Cell("10.88.0.1", "1,8 · 1,9 ms")),
        ("3", silent, Cell("10.88.40.1 / 10.88.40.5", "4,2 · 4,9 ms")),
        ("4", silent, silent),
        ("5", silent, Cell("203.0.113.9", "6,1 · 6,3 ms, đích trả lời")),
        ("6–20", silent, Cell()),
    ]
    assert [step.distance for step in found if step.cut] == ["3"]


@pytest.mark.parametrize(
    ("hops", "cut", "rows"),
    [
        ("0 here host_unreachable", ["máy trạm"], ["máy trạm"]),
        ("1 10.0.0.1 1.0 prohibited", ["1"], ["1"]),
        ("1 10.0.0.1 1.0\n2-20 *", ["2–20"], ["1", "2–20"]),
        ("1-20 *", ["1–20"], ["1–20"]),
        ("1 203.0.113.9 1.0 answered", [], ["1"]),
        ("1-999 *", ["1–255"], ["1–255"]),
    ],
)
def test_the_cut_alone(hops, cut, rows):
    """Without a good path too; what a liar claims has bounds."""
    found = steps(a_path(f"tcp 203.0.113.9 443\n{hops}"), None, VI)

    assert [step.distance for step in found if step.cut] == cut
    assert [step.distance for step in found] == rows


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("tcp 203.0.113.9 443", "TCP 203.0.113.9:443"),
        ("udp 2001:db8::1 53", "UDP [2001:db8::1]:53"),
        ("icmp 2001:db8::1", "ICMP 2001:db8::1"),
    ],
)
def test_what_was_traced(head, said):
    """As engineers write it."""
    assert aim(a_path(head)) == said
