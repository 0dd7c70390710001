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


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("page", "oncall"), ("ticket", "tickets"), ("deadman", "deadman"), ("unheard-of", "oncall")],
)
def test_a_severity_has_its_receiver(severity, receiver):
    """Pages go to people, and so does a severity that nobody foresaw."""
    routed = amtool(
        "config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receiver}",
        f"severity={severity}", "id=phu-tho-250701-007",
    )  # fmt: skip

    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_every_receiver_hears_of_the_end_and_nothing_is_inhibited():
    """A page that never gets its close is worse than none; inhibition loses closes."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    webhooks = [hook for receiver in config["receivers"] for hook in receiver["webhook_configs"]]

    assert all(hook["send_resolved"] for hook in webhooks)
    assert config["inhibit_rules"] == []
    assert config["route"]["group_by"] == ["alertname", "province", "id"]


def rendered(tmp_path: Path, template: str, status: str, ended: str) -> str:
    """Render a template for one incident that began at 09:31:00 in Việt Nam."""
    alert = {
        "status": status,
        "labels": {"id": "phu-tho-250701-007"},
        "annotations": {
            "summary": "Mất liên lạc",
            "where": "Xã Thượng Cốc",
            "description": "Xã Thượng Cốc mất liên lạc từ 09:31.",
            "url": "https://wall.example/i/7",
        },
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
                "Đã thông lúc 09:42, kéo dài 11 phút: Mất liên lạc, Xã Thượng Cốc. "
                "https://wall.example/i/7"
            ),
        ),
    ],
)
def test_a_page_reads_as_people_speak(tmp_path, template, status, text):
    """Opening and close in Vietnamese, times of the province, ages cut down."""
    assert rendered(tmp_path, template, status, "2025-07-01T02:42:59Z") == text


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
