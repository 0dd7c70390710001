"""`thongsuot-collector evidence`: the evidence of one place as text for a carrier, or as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collector.diagnosis.evidence import EvidenceStore
from collector.diagnosis.incident import Change, Member
from collector.diagnosis.store import Store
from tests.collector.diagnosis.test_evidence import an_incident, seen
from tests.collector.inventory import folders

ROOT = Path(__file__).parents[2]
SITE = "04792"
EIGHT = 1_751_331_600.0
"""2025-07-01 08:00 in Việt Nam."""
GOOD = """\
tcp 203.0.113.9 443
1 192.0.2.1 0.4 0.4
2 10.88.0.1 1.8 1.9
3 203.0.113.9 6.1 6.3 answered"""
TEXT = """\
Tỉnh Tỉnh Mẫu · Phường Tân Hòa (04792)
Bằng chứng: 2
Sự cố: Cổng quốc gia: từ 08:00:00 01/07/2025, chưa xong (phu-tho-250701-001)

Bằng chứng: Bộ định tuyến
Không chặng nào trả lời, kể cả bộ định tuyến tại chỗ.
  Thời điểm               07:58:20 01/07/2025
  Đường truyền            máy tự chọn đường
  Lỗi                     hết thời gian chờ
  Đích                    192.0.2.1
  Nơi đo                  Phường Tân Hòa (04792) · 04792
  Chặng  Lúc hỏng: ICMP 192.168.1.1
 >1      không trả lời

Bằng chứng: Cổng quốc gia
Đứt sau chặng 2 (10.88.0.1): từ đó không ai trả lời. Lần tốt gần nhất, chặng 3 là 203.0.113.9.
  Thời điểm               08:00:05 01/07/2025
  Sự cố                   từ 08:00:00 01/07/2025, chưa xong (phu-tho-250701-001)
  Đường truyền            vnpt · VNPT · ftth
  Lỗi                     hết thời gian chờ (ở bước kết nối)
  Đích                    https://portal.example
                          203.0.113.9
  Nơi đo                  Phường Tân Hòa (04792) · 04792
  Chặng  Lúc hỏng: TCP 203.0.113.9:443  Lần tốt gần nhất: 07:00:05 01/07/2025
  1      192.0.2.1  0,4 · 0,5 ms        192.0.2.1  0,4 · 0,4 ms
  2      10.88.0.1  1,9 · * ms          10.88.0.1  1,8 · 1,9 ms
 >3      không trả lời                  203.0.113.9  6,1 · 6,3 ms, đích trả lời
  4–20   không trả lời
  Bộ định tuyến tại chỗ   192.0.2.1 eth0: trả lời sau 0,4 ms; ARP 02:00:5e:00:53:01
"""

NONE = "Không có bằng chứng. Đích nằm trên chính máy đo thì không được dò đường.\n"


@pytest.fixture
def home(tmp_path):
    """Return a folder with a collector's files and two pieces of evidence."""
    folders.write(tmp_path)
    (tmp_path / "collector.yml").write_text("province: mau\nstate_directory: state\n")
    path = tmp_path / "state" / "state.sqlite"
    of_portal = {
        "agent": SITE,
        "site": SITE,
        "subject": SITE,
        "check": "portal",
        "target": "https://portal.example",
        "line": "vnpt",
        "at": EIGHT + 5,
        "detail": "in phase connect",
        "facts": {
            "address": "203.0.113.9",
            "path": "tcp 203.0.113.9 443\n1 192.0.2.1 0.4 0.5\n2 10.88.0.1 1.9 *\n3-20 *",
            "last_good_path": GOOD,
            "last_good_age_seconds": "3600",
            "gateway": "192.0.2.1 eth0: answered in 0.4 ms; arp 02:00:5e:00:53:01",
        },
    }
    failing = seen(2, **of_portal)
    of_gateway = {**of_portal, "check": "gateway", "target": "192.0.2.1", "line": "", "detail": ""}
    earlier = seen(
        1, **{**of_gateway, "at": EIGHT - 100, "facts": {"path": "icmp 192.168.1.1\n1 *"}}
    )
    store = Store(path)
    incident = an_incident(
        sites=(SITE,),
        check="portal",
        since=EIGHT,
        members=(Member(series=failing.series, since=EIGHT, failure="timeout"),),
    )
    store.save([Change("opened", incident)], {})
    store.close()
    evidence = EvidenceStore(path)
    evidence.save([failing, earlier])
    evidence.close()
    return tmp_path


def evidence(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "collector", "evidence", "-c", f"{home}/collector.yml", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def test_as_text(home):
    """Which line, from when to when, where the way broke: ready to be sent on."""
    done = evidence(home, "--site", SITE)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == TEXT


def test_in_a_time(home):
    """From and to are the province's time; a day alone reaches to its end."""
    later = evidence(home, "--site", SITE, "--from", "2025-07-01T08:00", "--lang", "en")
    day = evidence(home, "--site", SITE, "--to", "2025-07-01")
    before = evidence(home, "--site", SITE, "--to", "2025-06-30")

    assert later.stdout.startswith("Sample province · Tân Hòa ward (04792)\nEvidence: 1\n")
    assert "Bằng chứng: 2\n" in day.stdout
    assert before.stdout == "Tỉnh Tỉnh Mẫu · Phường Tân Hòa (04792)\n" + NONE


@pytest.mark.parametrize("command", ["evidence", "rehearsal"])
def test_the_help_tells_the_language(command):
    """Vietnamese unless another is asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "collector", command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert "--lang {en,vi} of the text (default vi)" in " ".join(done.stdout.split())


def test_as_json(home):
    """Everything as the agent said it, with its identity, its time and its incident."""
    done = evidence(home, "--site", SITE, "--json")

    whole = json.loads(done.stdout)
    assert [one["id"] for one in whole["incidents"]] == ["phu-tho-250701-001"]
    newest, earlier = whole["evidence"]
    assert (newest["time"], newest["incident"]) == (
        "2025-07-01T08:00:05.000+07:00",
        "phu-tho-250701-001",
    )
    assert (newest["agent"], newest["boot"], newest["seq"]) == (SITE, "b" * 32, 3)
    assert newest["facts"]["last_good_path"] == GOOD
    assert earlier["incident"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--site", "99999"], "99999: expected a site of "),
        (
            ["--site", SITE, "--from", "yesterday"],
            "'yesterday': expected 2025-07-01 or 2025-07-01T",
        ),
    ],
)
def test_what_cannot_be_had(home, words, said):
    """One sentence that says what was expected."""
    done = evidence(home, *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)


def test_before_the_first_start(home):
    """A collector that has never run has nothing to read, and none is made."""
    (home / "collector.yml").write_text("province: mau\nstate_directory: elsewhere\n")
    done = evidence(home, "--site", SITE)

    assert done.returncode == 1
    assert done.stderr.endswith("state.sqlite: cannot be read: unable to open database file\n")
    assert not (home / "elsewhere").exists()
