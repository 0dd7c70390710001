"""The shipped files for Alertmanager, under Alertmanager's own tools."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.programs import program

SHIPPED = Path(__file__).parents[2] / "configs" / "alertmanager"
CONFIG = SHIPPED / "alertmanager.yml"

pytestmark = pytest.mark.real


def amtool(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run amtool to its end."""
    return subprocess.run(
        [program("amtool"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_alertmanager_takes_the_shipped_configuration():
    """Amtool reads alertmanager.yml and its templates without a complaint."""
    checked = amtool("check-config", CONFIG)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_example_in_the_comments_is_valid(tmp_path):
    """Whoever takes away the # signs of the e-mail receiver has a configuration that works."""
    text = re.sub(r"(?m)^( +)# (?=smtp_|email_configs|  )", r"\1", CONFIG.read_text("utf-8"))
    assert yaml.safe_load(text)["receivers"][0]["email_configs"][0]["to"]
    (tmp_path / "alertmanager.yml").write_text(text, "utf-8")

    checked = amtool("check-config", tmp_path / "alertmanager.yml")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def whole(tmp_path: Path) -> Path:
    """Return the configuration with the copies by phase and area that it has in comments."""
    text = re.sub(r"(?m)#(phase|area) ", "", CONFIG.read_text("utf-8"))
    (tmp_path / "alertmanager.yml").write_text(
        text.replace("templates/*", f"{SHIPPED}/templates/*"), "utf-8"
    )
    return tmp_path / "alertmanager.yml"


def routed(config: Path, receivers: str, *labels: str) -> None:
    """Assert that an alert with these labels reaches these receivers, in this order."""
    found = amtool(
        "config", "routes", "test", f"--config.file={config}",
        f"--verify.receivers={receivers}", "id=phu-tho-250701-007", *labels,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout + found.stderr


ROUTES = [
    ("deadman", "severity=deadman alertname=ThongSuotWatchdog"),
    ("tickets", "severity=ticket route=vnpt carrier=vnpt"),
    ("oncall", "severity=unheard-of"),
    ("oncall", "severity=page"),
    ("oncall", "severity=page alertname=ThongSuotCollectorDown"),
    ("oncall", "severity=page alertname=ThongSuotCollectorNotScraped"),
    ("oncall", "severity=page alertname=ThongSuotManyChecksDown"),
    ("oncall", "severity=page route=so-khcn alertname=ThongSuotIncident"),
    ("oncall", "severity=page carrier=tslcd route=so-khcn alertname=ThongSuotIncident"),
    ("vnpt", "severity=page carrier=vnpt route=so-khcn"),
    ("vnpt", "severity=page route=vnpt"),
    ("viettel", "severity=page carrier=viettel route=viettel"),
    ("viettel", "severity=page route=viettel"),
    ("van-phong", "severity=page route=van-phong"),
    ("commune", "severity=page route=commune"),
    ("vnpt", "severity=page route=vnpt carrier=vnpt alertname=ThongSuotIncidentReassigned"),
    ("escalated", "severity=page route=so-khcn tier=1 alertname=ThongSuotIncidentEscalated"),
    ("escalated", "severity=page route=vnpt tier=2 alertname=ThongSuotIncidentEscalated"),
]


@pytest.mark.parametrize(("receiver", "labels"), ROUTES)
def test_an_alert_has_its_receiver(receiver, labels):
    """By severity, carrier, route and tier; what nobody foresaw goes to people."""
    routed(CONFIG, receiver, *labels.split())


@pytest.mark.parametrize(
    ("receivers", "labels"),
    [
        ("event,oncall", ["phase=ceremony"]),
        ("event,vnpt", ["phase=cutover", "carrier=vnpt"]),
        ("oncall", ["phase=rehearsal"]),
        ("area,commune", ["area=Hòa Bình", "route=commune"]),
        ("event,area,oncall", ["area=Hòa Bình", "phase=cutover"]),
        ("oncall", ["area=Vĩnh Phúc"]),
    ],
)
def test_phase_and_area_are_copies(tmp_path, receivers, labels):
    """Taken out of their comments they add a receiver, and take the page from nobody."""
    quoted = [label.replace("=", '="') + '"' for label in labels]

    routed(whole(tmp_path), receivers, "severity=page", *quoted)


def test_every_route_has_a_case():
    """A route without one of these tests would be missed."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    reached = {receiver for receiver, _ in ROUTES}

    assert {route["receiver"] for route in config["route"]["routes"]} == reached
    assert {receiver["name"] for receiver in config["receivers"]} == reached
    assert config["route"]["routes"][-1] == {"receiver": config["route"]["receiver"]}


@pytest.mark.parametrize("province", ["phu-tho", "thanh-hoa"])
def test_every_duty_of_a_province_is_reached(province):
    """Each key of on_call is a route here, but the room's, which takes all the rest."""
    folder = Path(__file__).parents[2] / "configs" / "provinces" / province
    read = yaml.safe_load((folder / "province.yml").read_text("utf-8"))
    routes = yaml.safe_load(CONFIG.read_text("utf-8"))["route"]["routes"]
    known = set(re.findall(r'route="([^"]+)"', str([route.get("matchers") for route in routes])))

    assert set(read["on_call"]) - {"so-khcn"} == known


def test_every_receiver_hears_of_the_end_and_nothing_is_inhibited():
    """A page that never gets its close is worse than none; inhibition loses closes."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    webhooks = [hook for receiver in config["receivers"] for hook in receiver["webhook_configs"]]

    assert all(hook["send_resolved"] for hook in webhooks)
    assert config["inhibit_rules"] == []
    assert config["route"]["group_by"] == ["alertname", "province", "id", "tier"]


INCIDENT = {
    "summary": "Mất liên lạc",
    "where": "Xã Thượng Cốc",
    "sites": "1",
    "description": "Xã Thượng Cốc mất liên lạc từ 09:31.",
    "url": "https://wall.example/i/7",
}
OUTAGE = {
    **INCIDENT,
    "summary": "Đứt đường VNPT diện rộng",
    "where": "23/60 nơi: Xã Một, Xã Hai, Xã Ba và 20 nơi khác",
    "sites": "23",
}
COLLECTOR = {
    "summary": "Máy chủ Thông Suốt không trả lời",
    "summary_en": "The collector does not answer",
    "description": "Máy chủ Thông Suốt c không trả lời.",
    "description_en": "The collector c does not answer.",
}


def rendered(
    tmp_path: Path,
    template: str,
    status: str,
    ended: str = "2025-07-01T02:42:59Z",
    said: dict[str, str] = INCIDENT,
    **labels: str,
) -> str:
    """Render a template for one alert that began at 09:31:00 in Việt Nam."""
    alert = {
        "status": status,
        "labels": labels if "summary_en" in said else {"id": "phu-tho-250701-007", **labels},
        "annotations": said,
        "startsAt": "2025-07-01T02:31:00Z",
        "endsAt": ended,
    }
    data = {
        "status": status,
        "alerts": [alert],
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
    }
    (tmp_path / "data.json").write_text(json.dumps(data), "utf-8")
    shown = amtool(
        "template", "render",
        f"--template.glob={SHIPPED}/templates/*.tmpl",
        f"--template.data={tmp_path / 'data.json'}",
        f'--template.text={{{{ template "{template}" . }}}}',
        TZ="Asia/Ho_Chi_Minh",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.strip()


@pytest.mark.parametrize(
    ("template", "status", "text"),
    [
        (
            "thongsuot.subject",
            "firing",
            "[Thông Suốt] MỞ phu-tho-250701-007 Mất liên lạc: Xã Thượng Cốc",
        ),
        (
            "thongsuot.subject",
            "resolved",
            "[Thông Suốt] XONG phu-tho-250701-007 Mất liên lạc: Xã Thượng Cốc",
        ),
        ("thongsuot.text", "firing", "Xã Thượng Cốc mất liên lạc từ 09:31."),
        (
            "thongsuot.text",
            "resolved",
            (
                "Đã thông lúc 09:42, kéo dài 11 phút: Mất liên lạc: Xã Thượng Cốc. "
                "https://wall.example/i/7"
            ),
        ),
    ],
)
def test_a_page_reads_as_people_speak(tmp_path, template, status, text):
    """Opening and close in Vietnamese, times of the province, ages cut down."""
    assert rendered(tmp_path, template, status) == text


@pytest.mark.parametrize(
    ("template", "status", "said", "text"),
    [
        (
            "thongsuot.subject",
            "firing",
            OUTAGE,
            "[Thông Suốt] MỞ phu-tho-250701-007 Đứt đường VNPT diện rộng: 23 nơi",
        ),
        (
            "thongsuot.en.subject",
            "resolved",
            OUTAGE,
            "[Thông Suốt] OVER phu-tho-250701-007 Đứt đường VNPT diện rộng: 23 places",
        ),
        (
            "thongsuot.en.subject",
            "firing",
            INCIDENT,
            "[Thông Suốt] OPEN phu-tho-250701-007 Mất liên lạc: Xã Thượng Cốc",
        ),
        (
            "thongsuot.en.subject",
            "firing",
            COLLECTOR,
            "[Thông Suốt] OPEN The collector does not answer",
        ),
        (
            "thongsuot.subject",
            "firing",
            COLLECTOR,
            "[Thông Suốt] MỞ Máy chủ Thông Suốt không trả lời",
        ),
        ("thongsuot.en.text", "firing", COLLECTOR, "The collector c does not answer."),
        ("thongsuot.text", "firing", COLLECTOR, "Máy chủ Thông Suốt c không trả lời."),
        (
            "thongsuot.en.text",
            "resolved",
            COLLECTOR,
            "Over at 09:42, after 11 min: The collector does not answer.",
        ),
        (
            "thongsuot.text",
            "resolved",
            OUTAGE,
            (
                "Đã thông lúc 09:42, kéo dài 11 phút: Đứt đường VNPT diện rộng: 23 nơi. https://wall.example/i/7"
            ),
        ),
    ],
)
def test_many_places_are_counted_and_english_is_english(tmp_path, template, status, said, text):
    """A subject counts, the text names; the rules' own texts have both languages."""
    assert rendered(tmp_path, template, status, said=said) == text


def test_an_escalated_page_says_so(tmp_path):
    """Before all else: nobody has acknowledged it, and which tier this is."""
    assert rendered(tmp_path, "thongsuot.subject", "firing", tier="1") == (
        "[Thông Suốt] MỞ CẤP 1 phu-tho-250701-007 Mất liên lạc: Xã Thượng Cốc"
    )
    assert rendered(tmp_path, "thongsuot.text", "firing", tier="1") == (
        "Chưa ai tiếp nhận, chuyển cấp 1: Xã Thượng Cốc mất liên lạc từ 09:31."
    )
    assert rendered(tmp_path, "thongsuot.en.text", "firing", tier="2").startswith(
        "Acknowledged by nobody, tier 2: "
    )


@pytest.mark.parametrize(
    ("ended", "age"),
    [
        ("2025-07-01T02:32:39.9Z", "99 giây"),
        ("2025-07-01T02:32:40Z", "1 phút"),
        ("2025-07-01T04:11:00Z", "1 giờ 40 phút"),
        ("2025-07-01T04:31:59Z", "2 giờ"),
        ("2025-07-03T02:31:00Z", "48 giờ"),
        ("2025-07-03T05:45:00Z", "51 giờ"),
    ],
)
def test_an_age_is_cut_down(tmp_path, ended, age):
    """Seconds up to 99, minutes up to 99, then hours and minutes, from two days on hours."""
    assert f"kéo dài {age}:" in rendered(tmp_path, "thongsuot.text", "resolved", ended)
