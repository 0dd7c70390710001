"""What many sites load together: trunks, what a phase allows, what a run takes."""

import json
from pathlib import Path

import pytest

from collector.inventory.load import load
from collector.inventory.loads import (
    allows,
    host_of,
    line_limit,
    load_of,
    round_seconds,
    runs_at_once,
)
from collector.inventory.model import Series, Text, Trunk
from collector.inventory.report import report
from tests.collector.inventory import loading
from tests.collector.inventory.folders import FILES, problems, write

TRUNKS = """\
trunks:
  bridge:
    name: {vi: Đường vào cầu, en: Bridge}
    mbit_s: 100
    share: 0.2
    hosts: [cau.mau.example, 192.0.2.99]
"""
VIDEO = """\
- id: video
  name: {vi: Hình, en: Video}
  system: web
  layer: service
  kind: media
  targets: [cau.mau.example:20000]
  params: {stream: 720p, seconds: 30}
  interval_seconds: 3600
  timeout_seconds: 40
"""
SPEED = """\
- id: speed
  name: {vi: Tốc độ, en: Speed}
  system: web
  layer: service
  kind: throughput
  targets: ["https://cau.mau.example/speed"]
  interval_seconds: 86400
  timeout_seconds: 20
  agents: {site: ["04792"]}
  line: vnpt
"""
VECTORS = json.loads((Path(__file__).parent / "schedule_148_sites.json").read_text())
RATES = {
    "audio_g711_20ms": "g711",
    "audio_opus32k_20ms": "opus",
    "video_720p30_1.5M": "720p",
    "video_1080p30_4M": "1080p",
}


@pytest.fixture(autouse=True)
def _probes(monkeypatch):
    """Both kinds are there, whatever they are in this checkout."""
    loading.put_in(monkeypatch)


def folder(*changes: tuple[str, str]) -> dict[str, str]:
    """Return the small province with a trunk and two checks on it, some places changed."""
    files = {
        **FILES,
        "province.yml": FILES["province.yml"]
        .replace("phases:\n", TRUNKS + "phases:\n", 1)
        # A day between two throughput runs is a day by the slower profile too.
        .replace("interval_factor: 3", "interval_factor: 1"),
        "checks.yml": FILES["checks.yml"] + VIDEO + SPEED,
    }
    for old, new in changes:
        (name,) = [name for name, text in files.items() if old in text]
        files[name] = files[name].replace(old, new, 1)
    return files


def test_what_runs_in_slots_is_known_with_its_load(tmp_path):
    """Each series of such a check: its trunk, its rate, how long, how much."""
    inventory = load(write(tmp_path, folder()))

    video = inventory.loads[Series("08209", "video", "cau.mau.example:20000", "")]
    speed = inventory.loads[Series("04792", "speed", "https://cau.mau.example/speed", "vnpt")]

    assert 5 + 1 == len(inventory.loads)
    assert ("bridge", 1_572_500.0, 30.0, 4688 * 1212, False, "720p") == (
        video.trunk,
        video.bits_per_second,
        video.seconds,
        video.max_bytes,
        video.sound,
        video.stream,
    )
    assert (8e6, 10.0, 10_000_000, False, "") == (
        speed.bits_per_second,
        speed.seconds,
        speed.max_bytes,
        speed.sound,
        speed.stream,
    )
    assert "bridge" == next(iter(inventory.trunks))


def test_the_report_says_what_an_trunk_bears(tmp_path):
    """How many at once, how long a round takes, and who never can: a line unknown or too thin."""
    told = report(load(write(tmp_path, folder(("stream: 720p", "stream: 1080p")))))

    assert told.endswith("""
What runs in slots only, so that no trunk bears more than its share
  bridge (Đường vào cầu): 20% of 100 Mbit/s for all of them together
    video: 5 runs of 4.193 Mbit/s, 30 s; 4 at once, a round of all takes 70 s
      never at 04792, 07900, 07900-ttpv and 2 more: more than half of the line's contract (lines.csv; 4 Mbit/s where it is not known)
    speed: 1 runs of 8 Mbit/s, 10 s; 1 at once, a round of all takes 15 s
""")


def test_the_report_says_when_loads_may_run(tmp_path):
    """By a check's intervals stand only the profiles that let it run."""
    told = report(
        load(
            write(
                tmp_path,
                folder(
                    ("silent_after_seconds: 3.5}", "silent_after_seconds: 3.5, load_tests: sound}")
                ),
            )
        )
    )

    assert "  line (icmp, internet/line): every 5 s fast, calm over vnpt\n" in told
    assert "  video (media, web/service): every 3600 s calm\n" in told


CASES = [
    (
        [("hosts: [cau.mau.example, 192.0.2.99]", "hosts: []")],
        (
            "province.yml line 33, trunks.bridge.hosts: found none, expected the hosts behind this trunk",
        ),
    ),
    (
        [("share: 0.2", "share: 1.5")],
        ("province.yml line 32, trunks.bridge.share: found 1.5, expected more than 0, at most 1",),
    ),
    (
        [("[cau.mau.example:20000]", "[cao.mau.example:20000]")],
        (
            "checks.yml line 51, checks[video].targets: 'cao.mau.example' is no host of a trunk of province.yml; did you mean 'cau.mau.example'?",
        ),
    ),
    (
        [("mbit_s: 100", "mbit_s: 0")],
        ("province.yml line 31, trunks.bridge.mbit_s: found 0, expected 0.1 to 1000000",),
    ),
    (
        [("192.0.2.99]", "Cau2.mau.example]")],
        (
            "province.yml line 33, trunks.bridge.hosts: found 'Cau2.mau.example', expected a name or address, small letters",
        ),
    ),
    (
        [
            (
                "192.0.2.99]\n",
                "192.0.2.99]\n  other:\n    name: {vi: Khác, en: Other}\n    mbit_s: 10\n    share: 1\n    hosts: [192.0.2.99]\n",
            )
        ],
        ("province.yml line 38, trunks.other.hosts: '192.0.2.99' lies behind 'bridge' already",),
    ),
    (
        [("    share: 0.2\n", "")],
        ("province.yml line 30, trunks.bridge.share: is missing",),
    ),
    (
        [("share: 0.2", "share: 0.01")],
        (
            "checks.yml line 52, checks[video].params: a run loads 1.573 Mbit/s, trunk 'bridge' has 1 Mbit/s (100 x 0.01) for all of them",
            "checks.yml line 55, checks[speed].params: a run loads 8 Mbit/s, trunk 'bridge' has 1 Mbit/s (100 x 0.01) for all of them",
        ),
    ),
    (
        [("timeout_seconds: 40", "timeout_seconds: 30")],
        (
            "checks.yml line 54, checks[video].timeout_seconds: is 30, but a run takes 30 s, expected 40 or more",
        ),
    ),
    (
        [("interval_seconds: 3600", "interval_seconds: 34")],
        (
            "checks.yml line 53, checks[video].interval_seconds: is 34 by profile fast, but a run takes 30 s, expected 35 or more",
            "checks.yml line 53, checks[video].interval_seconds: is 34 by profile calm, but a run takes 30 s, expected 35 or more",
        ),
    ),
    (
        [
            ("silent_after_seconds: 3.5}", "silent_after_seconds: 3.5, load_tests: sound}"),
            ("silent_after_seconds: 35,", "silent_after_seconds: 35, load_tests: none,"),
        ],
        (
            "checks.yml line 50, checks[video].kind: loads the trunk with more than sound, which no profile allows: fast sound, calm none",
            "checks.yml line 59, checks[speed].kind: loads the trunk with more than sound, which no profile allows: fast sound, calm none",
        ),
    ),
    (
        [("silent_after_seconds: 35,", "silent_after_seconds: 35, load_tests: voice,")],
        (
            "province.yml line 47, profiles.calm.load_tests: found 'voice', expected one of: 'all', 'sound', 'none'",
        ),
    ),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_what_would_load_too_much_is_refused(tmp_path, changes, expected):
    """Each mistake with file, line, key and what was expected, all at once."""
    assert list(expected) == problems(write(tmp_path, folder(*changes)))


def test_sound_is_enough_for_a_voice(tmp_path):
    """A check of sound may exist where one profile allows no more than sound."""
    files = folder(
        ("silent_after_seconds: 3.5}", "silent_after_seconds: 3.5, load_tests: sound}"),
        ("silent_after_seconds: 35,", "silent_after_seconds: 35, load_tests: none,"),
        ("stream: 720p", "stream: opus"),
        (SPEED, ""),
    )

    assert all(load.sound for load in load(write(tmp_path, files)).loads.values())


@pytest.mark.parametrize(
    ("load_tests", "sound", "pictures"),
    [("all", True, True), ("sound", True, False), ("none", False, False)],
)
def test_a_phase_says_what_may_begin(load_tests, sound, pictures):
    """All, the voice's streams alone, or nothing."""
    assert (sound, pictures) == (allows(load_tests, sound=True), allows(load_tests, sound=False))


@pytest.mark.parametrize("vector", [one for one in VECTORS if one["profile"] in RATES])
def test_148_sites_take_their_turns(vector):
    """Runs at once, rounds and whole time, as computed independently (vectors.json)."""
    trunk = Trunk(
        name=Text(vi="x", en="x"),
        mbit_s=vector["trunk_bps"] / 1e6,
        share=vector["budget_share"],
        hosts=[],
    )
    rate, _, _ = load_of("media", loading.MediaParams(stream=RATES[vector["profile"]]))

    at_once = min(runs_at_once(trunk, rate), 148)

    assert vector["concurrent_sites"] == at_once
    assert vector["slots"] == -(-148 // at_once)
    assert vector["total_seconds"] == round_seconds(148, at_once, vector["slot_seconds"] - 5)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("cau.example:20000", "cau.example"),
        ("CAU.example", "cau.example"),
        ("192.0.2.1:862", "192.0.2.1"),
        ("[2001:db8::1]:862", "2001:db8::1"),
        ("https://cau.example:8443/x?y", "cau.example"),
        ("https://[bad/", ""),
        ("", ""),
    ],
)
def test_the_host_is_found_in_every_kind_of_target(target, host):
    """URLs, host and port, a host alone."""
    assert host == host_of(target)


@pytest.mark.parametrize(
    ("agent", "line", "mbit_s"),
    [
        ("04792", "vnpt", 150.0),
        ("04792", "viettel", 100.25),
        ("04792", "tslcd", 2.0),
        ("04792", "", 2.0),
        ("07900-ttpv", "", 2.0),
        ("dc", "", 2.0),
    ],
)
def test_half_of_the_weakest_line_is_the_limit(tmp_path, agent, line, mbit_s):
    """A line of its own by its contract; any line: the weakest; unknown contracts count 4 Mbit/s."""
    inventory = load(write(tmp_path, folder()))

    assert mbit_s * 1e6 == line_limit(inventory, Series(agent, "video", "x", line))


def test_only_kinds_that_need_a_slot_have_a_load():
    """Asking for another one's is a mistake of ours."""
    with pytest.raises(ValueError, match="http loads nobody so much"):
        load_of("http", None)
