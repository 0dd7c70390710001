import unicodedata
from datetime import UTC, datetime

import pytest

from agent.config import Check, Line, mistakes
from collector.inventory.load import load
from collector.inventory.model import Series
from tests.collector.inventory.folders import FILES, problems, spoilt, write


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Return the small province, loaded."""
    return load(write(tmp_path_factory.mktemp("good")))


def test_a_folder_without_mistakes_loads_in_the_order_of_its_files(inventory):
    """The inventory is what the files say, keyed by id."""
    assert inventory.id == "mau"
    assert inventory.name.vi == "Tỉnh Mẫu"
    assert list(inventory.sites) == ["04792", "07900", "08209", "dc"]
    assert inventory.sites["07900"].agents == ("07900", "07900-ttpv")
    assert (
        inventory.sites["08209"].lat,
        inventory.sites["08209"].lon,
        inventory.sites["08209"].web,
    ) == (None, None, "")
    assert [line.contracted_mbit_s for line in inventory.lines["04792"]] == [300.0, 200.5, None]
    assert inventory.lines["dc"] == ()
    assert inventory.site_of_agent["07900-ttpv"] == "07900"
    assert list(inventory.checks) == ["gateway", "line", "own-web", "web", "portal"]
    assert tuple(inventory.on_call) == ("commune", "department")


def test_each_agent_is_told_its_own_lines_and_devices(inventory):
    """Two buildings of one site have two gateways, and each agent measures its own."""
    hq, centre = inventory.configs["07900"], inventory.configs["07900-ttpv"]

    assert [Line(name="vnpt", select="none")] == hq.lines
    assert [line.name for line in centre.lines] == ["ttpv-vnpt"]
    assert ["192.0.2.1"] == hq.checks[0].targets == centre.checks[0].targets
    assert inventory.subjects[Series("07900-ttpv", "gateway", "192.0.2.1", "")] == "07900"


def test_each_measures_every_line_that_can_be_chosen(inventory):
    """Lines whose targets are equal share an entry; the others have entries of their own."""
    lines = [check for check in inventory.configs["04792"].checks if check.id == "line"]

    expected = [
        ("vnpt", "203.0.113.1"),
        ("viettel", "203.0.113.129"),
        ("tslcd", "198.51.100.1"),
    ]
    assert expected == [(check.lines[0], check.targets[0]) for check in lines]
    assert expected == [
        (series.line, series.target)
        for series in inventory.series_of_agent["04792"]
        if series.check == "line"
    ]


def test_equal_targets_of_several_lines_are_one_entry(tmp_path):
    """Without {line.anchor} a line that only an anchor leads over is not among those of `each`."""
    files = spoilt("checks.yml", '["{line.anchor}"]', "[192.0.2.200]")
    config = load(write(tmp_path, files)).configs["04792"]

    assert Check(
        id="line",
        kind="icmp",
        targets=["192.0.2.200"],
        interval_seconds=15.0,
        lines=("vnpt", "viettel"),
    ) == next(check for check in config.checks if check.id == "line")


def test_a_central_agent_watches_all_sites_and_speaks_of_them(inventory):
    """`for_each: sites` makes a target per site with a web host; each series is about its site."""
    watched = {
        series.target: site for series, site in inventory.subjects.items() if series.check == "web"
    }

    assert watched == {
        "https://tan-hoa.mau.example/": "04792",
        "https://viet-tri.mau.example/": "07900",
    }
    assert {"dc"} == {series.agent for series in inventory.subjects if series.check == "web"}


def test_params_take_the_fields_of_the_agents_site(inventory):
    """A site without a web host is not asked about it."""
    own = {
        agent: check.params
        for agent, config in inventory.configs.items()
        for check in config.checks
        if check.id == "own-web"
    }

    assert own == {
        "04792": {"body_contains": ["Phường Tân Hòa"]},
        "07900": {"body_contains": ["Phường Việt Trì"]},
        "07900-ttpv": {"body_contains": ["Phường Việt Trì"]},
    }


def test_params_take_the_fields_of_each_site(tmp_path):
    """With `for_each: sites` a check's params speak of the site that the target is made for."""
    old, new = "for_each: sites\n", 'for_each: sites\n  params: {body_contains: ["{site.name}"]}\n'
    inventory = load(write(tmp_path, spoilt("checks.yml", old, new)))
    of_centre = [check for check in inventory.configs["dc"].checks if check.id == "web"]

    assert [(check.targets, check.params) for check in of_centre] == [
        (["https://tan-hoa.mau.example/"], {"body_contains": ["Phường Tân Hòa"]}),
        (["https://viet-tri.mau.example/"], {"body_contains": ["Phường Việt Trì"]}),
    ]
    assert list(mistakes([], of_centre)) == []
    about = {s.target: site for s, site in inventory.subjects.items() if s.check == "web"}
    assert about == {
        "https://tan-hoa.mau.example/": "04792",
        "https://viet-tri.mau.example/": "07900",
    }


def test_carriers_anchors_are_targets_of_one_check(tmp_path):
    """`for_each: carriers` makes a target per anchor of each carrier."""
    new = 'for_each: carriers\n  targets: ["{carrier.anchor}:443"]\n  line: any'
    old = 'line: each\n  targets: ["{line.anchor}"]'
    files = spoilt("checks.yml", old, new)
    files["checks.yml"] = files["checks.yml"].replace("kind: icmp\n  agents", "kind: tcp\n  agents")
    config = load(write(tmp_path, files)).configs["04792"]

    targets = ["203.0.113.1:443", "203.0.113.129:443", "203.0.113.130:443"]
    assert targets == next(check.targets for check in config.checks if check.id == "line")


def test_doubled_braces_are_letters(tmp_path):
    """`{{` and `}}` stand for one brace."""
    files = spoilt("checks.yml", "https://cong.example/", '"https://cong.example/{{a}}"')
    config = load(write(tmp_path, files)).configs["04792"]

    assert config.checks[-1].targets == ["https://cong.example/{a}"]


def test_the_profile_of_the_phase_scales_the_intervals(inventory):
    """Configurations are made for the default profile, and for any other on request."""
    series = Series("04792", "gateway", "192.0.2.1", "")

    assert inventory.interval_of[series] == 15.0
    assert inventory.configs["04792"].checks[0].interval_seconds == 15.0
    assert inventory.configs["04792"].batch_seconds == 10.0
    assert inventory.configs["04792"] == inventory.config_for("04792", "calm")
    fast = inventory.config_for("04792", "fast")
    assert (fast.checks[0].interval_seconds, fast.batch_seconds) == (5.0, 1.0)


@pytest.mark.parametrize(
    ("moment", "profile"),
    [
        (datetime(2025, 6, 28, 22, 59, 59, tzinfo=UTC), "calm"),
        (datetime(2025, 6, 28, 23, 0, tzinfo=UTC), "fast"),
        (datetime(2025, 6, 29, 5, 0, tzinfo=UTC), "calm"),
        (datetime(2025, 6, 30, 17, 0, tzinfo=UTC), "fast"),
    ],
)
def test_phases_are_in_the_provinces_time(inventory, moment, profile):
    """06:00 without a zone is 06:00 in the province; an end is not part of its phase."""
    assert profile == inventory.profile_name_at(moment)
    assert inventory.profiles[profile] == inventory.profile_at(moment)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        (datetime(2025, 6, 30, 0, 30, tzinfo=UTC), True),
        (datetime(2025, 6, 30, 4, 30, tzinfo=UTC), False),
        (datetime(2025, 7, 1, 1, 0, tzinfo=UTC), False),
    ],
)
def test_offices_are_open_on_their_days_and_hours(inventory, moment, is_open):
    """Monday 07:30 is open, 11:30 is lunch, Tuesday is not among the days."""
    assert is_open == inventory.is_open(moment)


def test_without_office_hours_nothing_is_ever_closed(tmp_path):
    """The section may be left out."""
    hours = 'office_hours:\n  days: [mon, fri]\n  spans: ["07:30-11:30", "13:30-17:00"]\n'
    inventory = load(write(tmp_path, spoilt("province.yml", hours, "")))

    assert inventory.is_open(datetime(2025, 6, 29, 20, 0, tzinfo=UTC))


def test_what_spreadsheets_and_macs_write_is_read(tmp_path, inventory):
    """A byte-order mark, CRLF, empty lines, blanks and decomposed letters change nothing."""
    folder = write(tmp_path)
    for name, text in FILES.items():
        odd = unicodedata.normalize("NFD", text).replace("\n", "\r\n")
        if name.endswith(".csv"):
            odd = odd.replace(",phường,", ", phường ,") + "\r\n,,,\r\n"
        (folder / name).write_bytes(b"\xef\xbb\xbf" + odd.encode())

    assert inventory == load(folder)


def test_all_mistakes_of_a_folder_are_told_at_once(tmp_path):
    """One run finds what is wrong in every file, also behind other mistakes."""
    files = {
        **FILES,
        "province.yml": FILES["province.yml"].replace("scope: external", "scope: extern"),
        "sites.csv": FILES["sites.csv"].replace("21.32001", "21,32001"),
        "lines.csv": FILES["lines.csv"].replace("08209,,viettel,viettel", "08210,,viettel,vietel"),
        "devices.csv": FILES["devices.csv"].replace("192.0.2.22", "192.0.2.300"),
        "checks.yml": FILES["checks.yml"]
        .replace("{line.anchor}", "{line.anker}")
        .replace("{kind: [xã, phường]}", "{kind: [xa], side: [dc]}")
        .replace("interval_seconds: 300", "interval_seconds: 5 phút", 1),
        "line.csv": "",
    }
    del files["devices.csv"]

    assert problems(write(tmp_path, files)) == [
        "line.csv: nobody reads this file; did you mean 'lines.csv'?",
        "devices.csv: is missing",
        "province.yml line 27, systems.dvcqg.scope: found 'extern', expected one of: 'site', 'central', 'external'",
        "sites.csv line 3: found 11 cells, expected 10; a text with a comma in it needs quotes",
        "lines.csv line 7, column carrier: found 'vietel', expected a carrier of province.yml; did you mean 'viettel'?",
        "lines.csv line 7, column site: found '08210', expected a site of sites.csv; did you mean '08209'?",
        "checks.yml line 25, checks[own-web].agents.side: unknown key; did you mean 'site'?",
        "checks.yml line 37, checks[web].interval_seconds: found '5 phút', expected a number",
        "checks.yml line 18, checks[line].targets: unknown field {line.anker} in '{line.anker}'; did you mean 'line.anchor'?",
        "checks.yml line 25, checks[own-web].agents.kind: found 'xa', which nothing in this folder has; expected one of: xã, phường, đặc khu, trung tâm hành chính công, sở ngành, trung tâm dữ liệu",
    ]


def test_a_mistake_of_many_agents_is_told_once(tmp_path):
    """Three agents cannot choose a line: one message names them."""
    old = 'agents: {site: ["04792"]}\n  line: each\n  targets: ["{line.anchor}"]'
    new = "line: vnpt\n  targets: [192.0.2.200]"

    assert problems(write(tmp_path, spoilt("checks.yml", old, new))) == [
        "checks.yml line 16, checks[line].line: line 'vnpt' has select 'none': it cannot be chosen, use line: any (at 07900)",
        "checks.yml line 16, checks[line].line: there is no line 'vnpt'; agents: {line: [...]} selects who has one (at 07900-ttpv, 08209, dc)",
    ]


def test_checks_of_one_site_count_together_for_an_external_system(tmp_path):
    """Two checks of 300 s are two requests in 300 s, also by a profile that is quicker."""
    more = FILES["checks.yml"].split("- id: portal")[1]
    again = FILES["checks.yml"] + "- id: portal-2" + more
    quick = FILES["province.yml"].replace(
        "silent_after_seconds: 3.5}", "silent_after_seconds: 3.5, interval_factor: 0.5}"
    )

    first = write(tmp_path, {**FILES, "checks.yml": again})
    assert problems(first) == [
        "checks.yml line 45, checks[portal].interval_seconds: system 'dvcqg' is external and would be asked 2 times in 300 s (checks portal, portal-2; sites 04792, 07900, 08209 and 1 more), expected at most once by each site"
    ]
    (tmp_path / "quick").mkdir()
    assert problems(write(tmp_path / "quick", {**FILES, "province.yml": quick})) == [
        "checks.yml line 45, checks[portal].interval_seconds: system 'dvcqg' is external and would be asked 2 times in 300 s (checks portal; sites 04792, 07900, 08209 and 1 more), expected at most once by each site"
    ]


def test_too_much_for_an_agent_is_told(tmp_path):
    """What the agent's own limits refuse is found before it is sent."""
    many = ", ".join(f'"10.0.{n // 250}.{n % 250 + 1}"' for n in range(600))
    old = 'devices: {kind: [gateway]}\n  targets: ["{device.address}"]\n  interval_seconds: 5'
    new = f"agents: {{site: [dc]}}\n  targets: [{many}]\n  interval_seconds: 5"

    assert problems(write(tmp_path, spoilt("checks.yml", old, new))) == [
        "agent dc: checks: 120 runs a second, at most 100 are allowed"
    ]
