"""What the pages of incidents say, in each language."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyTexts:
    """As `Texts`: `{…}` is filled, a `|` parts one from many."""

    incidents: str
    """The link to the list, and its title."""
    incident: str
    open: str
    closed: str
    maintenance: str
    back_to_wall: str
    seen_at: str
    reload: str
    filters: Mapping[str, str]
    """By state, in the order they are offered."""
    none: str
    facts: Mapping[str, str]
    """Names of what is told of an incident."""
    severities: Mapping[str, str]
    nobody: str
    taken: str
    card_taken: str
    """On the wall, after the owner."""
    tier: str
    places: str
    not_back: str
    back: str
    since: str
    back_at: str
    evidence: str
    members: Mapping[str, str]
    """Heads of what failed."""
    still: str
    details: str
    fact_words: Mapping[str, str]
    """Words of an incident's facts: the last word of a name, or a value."""
    timeline: str
    steps: Mapping[str, str]
    """By `Step.kind`."""
    acts: Mapping[str, str]
    """By `Act.kind`."""
    to_do: str
    no_accounts: str
    name: str
    acknowledge: str
    acknowledge_instead: str
    take_back: str
    assign: str
    assign_to: str
    note: str
    note_text: str
    note_hint: str
    hand_over: str
    hand_over_help: str
    hand_over_to: str
    closes_itself: str
    silence_problem: str
    refusals: Mapping[str, str]
    """By `ActError.word`, and those of a form."""


VI = DutyTexts(
    incidents="Sự cố",
    incident="Sự cố {id}",
    open="đang mở",
    closed="đã đóng",
    maintenance="bảo trì",
    back_to_wall="Về bảng chung",
    seen_at="Số liệu lúc {at}, trang này không tự cập nhật.",
    reload="Tải lại",
    filters={
        "open": "Đang mở",
        "unacknowledged": "Chưa tiếp nhận",
        "acknowledged": "Đã tiếp nhận",
        "maintenance": "Bảo trì",
        "closed": "Đã đóng gần đây",
    },
    none="Không có sự cố nào.",
    facts={
        "since": "Từ lúc",
        "lasted": "Kéo dài",
        "ended": "Thông lúc",
        "owner": "Chủ trì",
        "acknowledged": "Tiếp nhận",
        "holder": "Người đang giữ",
        "severity": "Mức",
        "tier": "Chuyển cấp",
        "line": "Đường truyền",
        "carrier": "Nhà mạng",
        "window": "Bảo trì có kế hoạch",
    },
    severities={"page": "gọi người trực", "ticket": "phiếu việc, không gọi ai"},
    nobody="Chưa tiếp nhận",
    taken="{who} · {at}",
    card_taken="{who} nhận {at}",
    tier="cấp {tier} · {route} · {at}",
    places="Các nơi",
    not_back="Chưa trở lại",
    back="Đã trở lại",
    since="từ {at}",
    back_at="lại lúc {at}",
    evidence="Chứng cứ",
    members={
        "place": "Nơi đo",
        "what": "Đo gì",
        "since": "Từ lúc",
        "why": "Thấy gì",
        "up": "Lại lúc",
    },
    still="chưa",
    details="Chi tiết khác",
    fact_words={
        "power": "nguồn điện",
        "line": "đường truyền cuối",
        "address": "địa chỉ cuối",
        "carrier": "nhà mạng",
        "maintenance": "bảo trì",
        "mains": "điện lưới",
        "battery": "ắc quy, pin",
    },
    timeline="Diễn biến",
    steps={
        "began": "Bắt đầu tại chỗ",
        "opened": "Mở: {title}, {places}",
        "widened": "Lan rộng: {places}",
        "narrowed": "Thu hẹp: {places}",
        "understood": "Rõ hơn: {title}, {places}",
        "closed": "Đóng sự cố",
    },
    acts={
        "acknowledged": "{who} tiếp nhận",
        "taken_back": "{who} thôi tiếp nhận",
        "assigned": "{who} giao cho {to}",
        "noted": "{who} ghi",
        "handed_over": "{who} bàn giao ca cho {to}",
        "escalated": "Chưa ai tiếp nhận: chuyển cấp {tier}, gọi {to}",
        "maintenance": "Trong giờ bảo trì “{text}”: không gọi ai",
        "maintenance_over": "Hết bảo trì “{text}” hoặc vượt phạm vi: gọi người trực",
    },
    to_do="Việc cần làm",
    no_accounts="Chưa có tài khoản: ai xem được trang này đều làm được, tên là do người đó tự ghi. Mỗi việc được lưu mãi, kèm địa chỉ máy.",
    name="Họ tên của bạn",
    acknowledge="Tiếp nhận",
    acknowledge_instead="Tiếp nhận thay {who}",
    take_back="Thôi tiếp nhận",
    assign="Giao việc",
    assign_to="Giao cho",
    note="Ghi",
    note_text="Ghi chú vào nhật ký trực",
    note_hint="Ví dụ: VNPT báo đứt cáp, đội đang tới, hẹn 10:30",
    hand_over="Bàn giao ca",
    hand_over_help="Mọi sự cố đang mở mà bạn giữ chuyển sang người nhận.",
    hand_over_to="Người nhận",
    closes_itself="Sự cố tự đóng khi đủ chứng cứ đã thông. Giao việc không phải là tiếp nhận.",
    silence_problem="Đã tiếp nhận nhưng chưa tắt được nhắc lại, đang thử tiếp: {why}",
    refusals={
        "no_name": "Chưa ghi họ tên của bạn.",
        "closed": "Sự cố đã đóng: chỉ còn ghi chú được.",
        "no_receiver": "Chưa ghi người nhận, hoặc người nhận chính là bạn.",
        "no_text": "Ghi chú đang trống.",
        "not_acknowledged": "Sự cố chưa được ai tiếp nhận.",
        "meanwhile": "Chưa làm: người giữ sự cố vừa thay đổi. Xem lại rồi bấm lần nữa.",
        "holds_none": "Bạn không giữ sự cố nào đang mở.",
        "forged": "Chưa làm: biểu mẫu đã cũ hoặc trình duyệt chặn cookie. Bấm lần nữa.",
        "not_saved": "Chưa làm: máy chủ không ghi được xuống đĩa. Thử lại, và báo người quản trị.",
    },
)
EN = DutyTexts(
    incidents="Incidents",
    incident="Incident {id}",
    open="open",
    closed="closed",
    maintenance="maintenance",
    back_to_wall="Back to the wall",
    seen_at="As of {at}; this page does not update itself.",
    reload="Load again",
    filters={
        "open": "Open",
        "unacknowledged": "Not acknowledged",
        "acknowledged": "Acknowledged",
        "maintenance": "Maintenance",
        "closed": "Closed lately",
    },
    none="No incidents.",
    facts={
        "since": "Since",
        "lasted": "Duration",
        "ended": "Ended",
        "owner": "Lead",
        "acknowledged": "Acknowledged",
        "holder": "Held by",
        "severity": "Severity",
        "tier": "Escalated",
        "line": "Line",
        "carrier": "Carrier",
        "window": "Planned maintenance",
    },
    severities={"page": "calls the person on duty", "ticket": "ticket, calls nobody"},
    nobody="Not acknowledged",
    taken="{who} · {at}",
    card_taken="{who}, taken {at}",
    tier="tier {tier} · {route} · {at}",
    places="Places",
    not_back="Not back",
    back="Back",
    since="since {at}",
    back_at="back at {at}",
    evidence="Evidence",
    members={
        "place": "Seen from",
        "what": "What",
        "since": "Since",
        "why": "Seen",
        "up": "Back at",
    },
    still="not yet",
    details="Other details",
    fact_words={
        "power": "power",
        "line": "last line",
        "address": "last address",
        "carrier": "carrier",
        "maintenance": "maintenance",
        "mains": "mains",
        "battery": "battery",
    },
    timeline="Timeline",
    steps={
        "began": "Began on the spot",
        "opened": "Opened: {title}, {places}",
        "widened": "Widened: {places}",
        "narrowed": "Narrowed: {places}",
        "understood": "Understood better: {title}, {places}",
        "closed": "Closed",
    },
    acts={
        "acknowledged": "{who} acknowledged",
        "taken_back": "{who} took the acknowledgement back",
        "assigned": "{who} assigned it to {to}",
        "noted": "{who} noted",
        "handed_over": "{who} handed the shift over to {to}",
        "escalated": "Nobody acknowledged: escalated to tier {tier}, {to} called",
        "maintenance": "Within maintenance “{text}”: nobody is called",
        "maintenance_over": "Maintenance “{text}” over, or beyond its scope: the person on duty is called",
    },
    to_do="To do",
    no_accounts="There are no accounts yet: whoever sees this page can act, under the name they type. Each act is kept for good, with the address it came from.",
    name="Your name",
    acknowledge="Acknowledge",
    acknowledge_instead="Acknowledge instead of {who}",
    take_back="Take back",
    assign="Assign",
    assign_to="Assign to",
    note="Note",
    note_text="Note for the duty log",
    note_hint="Such as: carrier reports a cut cable, crew on its way, due 10:30",
    hand_over="Hand the shift over",
    hand_over_help="All open incidents that you hold go to the receiver.",
    hand_over_to="Receiver",
    closes_itself="An incident closes by itself once there is evidence enough. Assigning is not acknowledging.",
    silence_problem="Acknowledged, but reminders are not silenced yet, trying again: {why}",
    refusals={
        "no_name": "Your name is missing.",
        "closed": "The incident is closed: only notes can be added.",
        "no_receiver": "The receiver is missing, or is yourself.",
        "no_text": "The note is empty.",
        "not_acknowledged": "Nobody has acknowledged the incident.",
        "meanwhile": "Not done: who holds the incident has just changed. Look again, then press once more.",
        "holds_none": "You hold no open incident.",
        "forged": "Not done: the form was old, or the browser refuses cookies. Press once more.",
        "not_saved": "Not done: the server cannot write to its disk. Try again, and tell its administrator.",
    },
)
DUTY_TEXTS: Mapping[str, DutyTexts] = {"vi": VI, "en": EN}
