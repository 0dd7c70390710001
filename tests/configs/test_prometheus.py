"""The shipped files for Prometheus, under Prometheus's own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from collector.diagnosis.routing import routing
from collector.export import families
from collector.export.exposition import Exposition
from tests.collector.a_province import NOON
from tests.collector.diagnosis.test_routing import HERE
from tests.collector.export.pages import named
from tests.collector.export.test_incident_series import MASS, OUTAGE
from tests.collector.state.fleets import a_fleet
from tests.programs import program

SHIPPED = Path(__file__).parents[2] / "configs" / "prometheus"
HOLD = """          or on (job, instance, id)
            (thongsuot:incident:held and on (job, instance) up{job="thongsuot"} == 0)
"""
HOLD_ESCALATED = """          or on (job, instance, id, tier)
            (thongsuot:incident_escalated:held and on (job, instance) up{job="thongsuot"} == 0)
"""
HOLD_REASSIGNED = """          or on (job, instance, id, route)
            (thongsuot:incident_reassigned:held and on (job, instance) up{job="thongsuot"} == 0)
"""
NEWEST = """\
              and timestamp(thongsuot_incident_{0}) == on (job, instance) group_left () timestamp(up{{job="thongsuot"}})
"""

pytestmark = pytest.mark.real


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    return subprocess.run(
        [program("promtool"), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_prometheus_takes_the_shipped_configuration():
    """Promtool reads prometheus.yml and the rules it names without a complaint."""
    checked = promtool("check", "config", "prometheus.yml", cwd=SHIPPED)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_do_what_their_cases_say():
    """Every case of thongsuot.rules.test.yml holds."""
    tested = promtool("test", "rules", "thongsuot.rules.test.yml", cwd=SHIPPED)

    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(
    ("part", "instead", "seen"),
    [
        (HOLD, "", 'id=\\"a\\"'),
        ("topk by (id) (1, thongsuot:incident:held and", "(thongsuot:incident:held and", ""),
        ('          cause: ""\n', "", 'cause="site_silent"'),
        (" and timestamp(thongsuot:incident:held) == time()", "", "closed"),
        (
            '              and timestamp(thongsuot_incident) == on (job, instance) group_left () timestamp(up{job="thongsuot"})\n',
            "",
            "closed",
        ),
        (" or timestamp(thongsuot_incident) - 1", "", "phu-tho-250701-009"),
        ("for: 5s", "for: 4s", "ThongSuotCollectorDown"),
        (HOLD_ESCALATED, "", "ThongSuotIncidentEscalated"),
        (HOLD_REASSIGNED, "", "ThongSuotIncidentReassigned"),
        (
            "topk by (id, tier) (1, thongsuot:incident_escalated:held and",
            "(thongsuot:incident_escalated:held and",
            'tier="1"',
        ),
        (
            "topk by (id, route) (1, thongsuot:incident_reassigned:held and",
            "(thongsuot:incident_reassigned:held and",
            "ThongSuotIncidentReassigned",
        ),
        (NEWEST.format("escalated"), "", "ThongSuotIncidentEscalated"),
        (NEWEST.format("reassigned"), "", "ThongSuotIncidentReassigned"),
        (
            '          unless on (job, instance) thongsuot:incident:held{cause="collector_blind"}\n',
            "",
            "ThongSuotManyChecksDown",
        ),
    ],
)
def test_the_cases_notice_a_rule_that_lost_a_part(tmp_path, part, instead, seen):
    """Each part of the rules that guards a page is guarded by a case in turn."""
    for file in SHIPPED.glob("thongsuot.rules*"):
        shutil.copy(file, tmp_path)
    rules = tmp_path / "thongsuot.rules.yml"
    text = rules.read_text("utf-8")
    assert part in text
    rules.write_text(text.replace(part, instead), "utf-8")

    tested = promtool("test", "rules", "thongsuot.rules.test.yml", cwd=tmp_path)

    assert tested.returncode != 0
    assert seen in tested.stdout + tested.stderr


def test_one_series_has_one_writer():
    """Both jobs ask the same collector; what the fast one scrapes the slow one drops."""
    jobs = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))["scrape_configs"]

    assert [job["metrics_path"] for job in jobs] == ["/metrics/live", "/metrics"]
    assert jobs[0]["static_configs"] == jobs[1]["static_configs"]
    dropped = jobs[1]["metric_relabel_configs"][0]
    assert dropped["action"] == "drop"
    live = (
        families.SITE_UP,
        families.SITE_LAST_SEEN,
        families.CHECK_UP,
        families.INCIDENT,
        families.INCIDENT_INFO,
        families.INCIDENT_ESCALATED,
        families.INCIDENT_REASSIGNED,
    )
    assert [family.name for family in live if not re.fullmatch(dropped["regex"], family.name)] == []


def test_rules_use_only_names_that_the_collector_has():
    """A metric that is renamed in the code is missed here, not on the day."""
    known = {family.name for family in vars(families).values() if hasattr(family, "name")}

    rules = (SHIPPED / "thongsuot.rules.yml").read_text("utf-8")

    assert set(re.findall(r"\bthongsuot_\w+", rules)) <= known


def labels_shown(family: families.Family) -> set[str]:
    """Return the labels that an incident with everything in it has on the live page."""
    whole = replace(
        OUTAGE, routing=routing(OUTAGE, HERE), sites=("05305",), check="internet", system="internet"
    )
    exposition = Exposition(a_fleet(HERE), url="https://wall.example")
    exposition.show([whole, replace(whole, id="b", routing=MASS.routing)], {whole.id: ["room"]})
    rows = named(exposition.live(NOON), family.name + "{")
    return {label for row in rows for label in re.findall(r'[{,](\w+)="', row)}


def test_every_label_is_either_fixed_or_emptied():
    """A label that is added to a series of incidents would change the page's identity."""
    rules = yaml.safe_load((SHIPPED / "thongsuot.rules.yml").read_text("utf-8"))
    by_name = {rule.get("alert"): rule for rule in rules["groups"][0]["rules"]}
    emptied = set(by_name["ThongSuotIncident"]["labels"])
    fixed = {"id", "severity", "route", "carrier", "area", "phase"}
    info = labels_shown(families.INCIDENT_INFO)

    assert labels_shown(families.INCIDENT) - emptied == fixed
    assert info - emptied == {"id"}
    assert labels_shown(families.INCIDENT_ESCALATED) == {"id", "severity", "tier", "route"}
    assert labels_shown(families.INCIDENT_REASSIGNED) == {"id", "severity", "route", "carrier"}
    held = (SHIPPED / "thongsuot.rules.yml").read_text("utf-8")
    taken = re.search(r"on \(job, instance, id\) group_left \(([^)]+)\)", held)
    assert taken
    assert set(taken[1].split(", ")) == info - {"id"}


def test_every_alert_is_explained():
    """docs/alerting.md names each alert there is, and no other."""
    rules = (SHIPPED / "thongsuot.rules.yml").read_text("utf-8")
    page = (SHIPPED.parents[1] / "docs" / "alerting.md").read_text("utf-8")

    assert set(re.findall(r"ThongSuot\w+", page)) == set(re.findall(r"alert: (\w+)", rules))
