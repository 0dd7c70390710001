"""The words of every cause, in both languages: one row a cause, so that none is forgotten."""

from collections.abc import Mapping

from msgspec import Struct

from collector.diagnosis.incident import Cause
from collector.inventory.model import Text


def _text(vi: str, en: str) -> Text:
    return Text(vi=vi, en=en)


class Phrase(Struct, frozen=True):
    """`{carrier}`, `{line}`, `{system}`, `{check}` are names; `{area}` is "" or " in …"."""

    title: Text
    hint: Text = _text("", "")
    """A sentence that is true of every incident of this cause, and helps."""
    of_place: bool = True
    """Whether it is said of a place ("Xã X hỏng mạng LAN"), or of a thing that places see."""
    targets: bool = False
    """Whether it helps to name the targets that fail."""


PHRASES: Mapping[Cause, Phrase] = {
    "site_silent": Phrase(
        _text("Mất liên lạc", "Not reporting"),
        _text(
            "Chưa rõ vì sao: điện, máy hay đường truyền.",
            "Cause not known yet: power, PC or line.",
        ),
    ),
    "mass_silence": Phrase(
        _text("Nhiều nơi cùng mất liên lạc{area}", "Many places not reporting{area}"),
        _text(
            "Chưa rõ vì sao: điện hay nhà mạng.",
            "Cause not known yet: power or a carrier.",
        ),
        of_place=False,
    ),
    "carrier_outage": Phrase(
        _text("Đứt đường {carrier} diện rộng{area}", "Wide outage of {carrier}{area}"),
        of_place=False,
    ),
    "power_outage": Phrase(
        _text("Mất điện{area}", "Power cut{area}"),
        _text(
            "Trạm đo báo mất điện, không phải lỗi mạng.",
            "The PCs there told of it: no fault of the network.",
        ),
    ),
    "collector_blind": Phrase(
        _text("Máy chủ của tỉnh bị cắt mạng", "The province's own server is cut off"),
        _text(
            "Tình trạng các xã không rõ cho đến khi có mạng trở lại.",
            "How the communes are is not known until it is back.",
        ),
        of_place=False,
    ),
    "lan_down": Phrase(_text("Hỏng mạng LAN", "LAN down"), targets=True),
    "line_down": Phrase(_text("Đứt {line}", "{line} down")),
    "line_degraded": Phrase(_text("Suy giảm {line}", "{line} degraded")),
    "tslcd_outage": Phrase(
        _text("Mất mạng TSLCD{area}", "No dedicated data network (TSLCD){area}")
    ),
    "dns_broken": Phrase(
        _text("Không phân giải được tên miền", "Name resolution broken"), targets=True
    ),
    "dns_hijack": Phrase(
        _text("Máy chủ tên miền trả lời sai", "Name server gives wrong answers"),
        _text(
            "Có thể dẫn người dùng tới trang giả.",
            "It may lead users to a false page.",
        ),
        of_place=False,
        targets=True,
    ),
    "captive_portal": Phrase(
        _text("Internet bị chặn bởi trang đăng nhập", "Internet held up by a login page"),
        of_place=False,
    ),
    "mtu_blackhole": Phrase(
        _text("Mất gói tin lớn (lỗi MTU)", "Large packets lost (MTU)"),
        _text(
            "Gói nhỏ vẫn đi được: ping tốt mà trang nặng bị treo.",
            "Small ones get through: ping is fine while large pages hang.",
        ),
    ),
    "clock_wrong": Phrase(
        _text("Đồng hồ máy sai", "Clock of the PC wrong"),
        of_place=False,
    ),
    "system_down": Phrase(
        _text("{system} ngừng hoạt động", "{system} down"),
        _text(
            "Lỗi phía máy chủ, không phải đường truyền xã.",
            "The fault is the server's, not the communes' lines.",
        ),
        of_place=False,
    ),
    "system_slow": Phrase(
        _text("{system} chậm", "{system} slow"),
        _text(
            "Lỗi phía máy chủ, không phải đường truyền xã.",
            "The fault is the server's, not the communes' lines.",
        ),
        of_place=False,
    ),
    "system_unreachable_from_site": Phrase(
        _text("Không vào được {system}", "Cannot reach {system}"),
        _text("Nơi khác vẫn vào được.", "Others reach it."),
        targets=True,
    ),
    "vc_degraded": Phrase(
        _text("Điểm cầu suy giảm", "Conference quality degraded"),
        _text("Họp sẽ giật.", "Meetings will stutter."),
        of_place=False,
    ),
    "certificate": Phrase(
        _text(
            "Chứng thư bảo mật của {system} cần xử lý",
            "Certificate of {system} needs attention",
        ),
        of_place=False,
        targets=True,
    ),
    "external": Phrase(
        _text("{system} lỗi (ngoài tỉnh)", "{system} failing (outside the province)"),
        _text(
            "Trong tỉnh không ai sửa được.",
            "Nobody in the province can mend it.",
        ),
        of_place=False,
    ),
    "check_down": Phrase(_text("Sự cố: {check}", "Failing: {check}"), of_place=False, targets=True),
}

FLAPPING = _text("{title}, chập chờn", "{title}, flapping")
AREA = _text(" vùng {area}", " in {area}")
LINE = _text("đường {name}", "{name} line")
SOME_LINE = _text("đường truyền", "line")
SOME_CARRIER = _text("nhà mạng", "a carrier")
SOME_SYSTEM = _text("nhiều hệ thống", "several systems")
MORE_PLACES = _text("{named} và {n} nơi khác", "{named} and {n} more")
MORE_TARGETS = _text("{named} và {n} đích khác", "{named} and {n} more")
COUNTED = _text("{n} nơi", "{n} places")
COUNTED_OF = _text("{n}/{of} nơi", "{n}/{of} places")
OF_PLACE = _text("{where} {title} từ {since}.", "{where}: {title} since {since}.")
OF_THING = _text("{title} từ {since}: {where}.", "{title} since {since}: {where}.")
ALONE = _text("{title} từ {since}.", "{title} since {since}.")
TARGETS = _text("Không đạt: {targets}.", "Failing: {targets}.")
OWNER = _text("Chủ trì: {owner}.", "Lead: {owner}.")
PROOF = _text("Chứng cứ: {proof}.", "Evidence: {proof}.")
PLACE = _text("{kind} {name}", "{name} {kind}")
