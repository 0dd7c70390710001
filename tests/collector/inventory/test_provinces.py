"""The folders that are shipped."""

import ipaddress
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import asdict

from agent.config import decode_agent_config, mistakes
from collector.inventory.load import LOCAL_TARGETS
from collector.inventory.loads import round_seconds, runs_at_once
from collector.inventory.model import COMMUNE_KINDS, Inventory
from collector.state.fleet import Fleet
from tests.collector.inventory.folders import shipped

DOCUMENTATION = [
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


@pytest.fixture(scope="module", params=["phu-tho", "thanh-hoa"])
def inventory(request):
    """Return each shipped province."""
    return shipped(request.param)


@pytest.fixture(scope="module")
def phu_tho():
    """Return Phú Thọ."""
    return shipped("phu-tho")


@pytest.fixture(scope="module")
def thanh_hoa():
    """Return Thanh Hóa."""
    return shipped("thanh-hoa")


def communes(inventory: Inventory):
    """Return the communes of a province, in order."""
    return [site for site in inventory.sites.values() if site.kind in COMMUNE_KINDS]


def test_phu_tho_has_148_communes_of_three_former_provinces(phu_tho):
    """133 communes and 15 wards: 66 of Phú Thọ, 46 of Hòa Bình, 36 of Vĩnh Phúc."""
    sites = communes(phu_tho)

    assert len(sites) == 148
    assert Counter(site.kind for site in sites) == {"xã": 133, "phường": 15}
    assert Counter(site.former_province for site in sites) == {
        "Phú Thọ": 66,
        "Hòa Bình": 46,
        "Vĩnh Phúc": 36,
    }
    assert [phu_tho.sites[code].name for code in ("04792", "07900", "08296", "04924", "09154")] == [
        "Phường Tân Hòa",
        "Phường Việt Trì",
        "Xã Sơn Lương",
        "Xã Lương Sơn",
        "Xã Vĩnh Phú",
    ]


def test_phu_tho_keeps_three_service_centres_beside_its_data_centre(phu_tho):
    """Extra sites have ids of their own, an agent each and no web host."""
    extra = [site for site in phu_tho.sites.values() if site.kind not in COMMUNE_KINDS]

    assert [(site.id, site.former_province, site.web) for site in extra] == [
        ("ttpvhcc-phu-tho", "Phú Thọ", ""),
        ("ttpvhcc-vinh-phuc", "Vĩnh Phúc", ""),
        ("ttpvhcc-hoa-binh", "Hòa Bình", ""),
        ("ttdl-phu-tho", "Phú Thọ", ""),
    ]
    assert phu_tho.sites["07900"].agents == ("07900", "07900-ttpv")
    assert len(phu_tho.configs) == 153


def test_thanh_hoa_has_166_communes(thanh_hoa):
    """147 communes and 19 wards; the province was not merged."""
    sites = communes(thanh_hoa)

    assert len(sites) == 166
    assert Counter(site.kind for site in sites) == {"xã": 147, "phường": 19}
    assert Counter(site.former_province for site in sites) == {"Thanh Hóa": 166}
    assert len(thanh_hoa.configs) == 169


def test_names_that_differ_by_marks_only_keep_web_hosts_apart(thanh_hoa):
    """Xã Đồng Tiến and Phường Đông Tiến are one word without diacritics."""
    assert {
        site.id: (site.name, site.web) for site in communes(thanh_hoa) if "Tiến" in site.name
    }.items() >= {
        "15724": ("Xã Đồng Tiến", "xa-dong-tien.thanh-hoa.example"),
        "15853": ("Phường Đông Tiến", "phuong-dong-tien.thanh-hoa.example"),
    }.items()


def test_every_agent_takes_its_configuration(inventory):
    """The agent's own strict decoding accepts what the centre will send, by every profile."""
    for agent in inventory.configs:
        for profile in inventory.profiles:
            config = inventory.config_for(agent, profile)
            assert list(mistakes(config.lines, config.checks)) == []
        body = msgspec.json.encode(config)
        assert decode_agent_config(body, agent) == config


def test_every_series_belongs_to_a_site_and_an_agent(inventory):
    """What can arrive is known beforehand: agent, check, target, line and the site it is about."""
    runs = sum(
        len(check.targets) * len(check.lines)
        for config in inventory.configs.values()
        for check in config.checks
    )

    assert len(inventory.subjects) == runs
    assert set(inventory.subjects.values()) == set(inventory.sites)
    assert inventory.interval_of.keys() == inventory.subjects.keys()
    assert sum(map(len, inventory.series_of_agent.values())) == runs


def test_the_data_centre_watches_every_communes_website(inventory):
    """One central agent, one target per commune, each about its commune."""
    watched = [
        site
        for series, site in inventory.subjects.items()
        if series.check == "web" and series.agent == f"ttdl-{inventory.id}"
    ]

    assert watched == [site.id for site in communes(inventory)]


def test_every_communes_website_must_bear_its_own_new_name(inventory):
    """From the data centre as from the commune itself, the name is that of the site asked."""
    expected = {f"https://{site.web}/": [site.name] for site in communes(inventory)}
    for check_id in ("web", "web-own"):
        wanted = {
            target: check.params["body_contains"]
            for config in inventory.configs.values()
            for check in config.checks
            for target in check.targets
            if check.id == check_id
        }
        assert wanted == expected


def test_central_addresses_and_people_are_nobodys(inventory):
    """Only addresses and names reserved for documentation, roles instead of people."""
    for lines in inventory.lines.values():
        for line in lines:
            for text in (line.source, line.anchor):
                assert not text or any(ipaddress.ip_address(text) in n for n in DOCUMENTATION)
    for devices in inventory.devices.values():
        for device in devices:
            assert any(ipaddress.ip_address(device.address) in n for n in DOCUMENTATION)
    for site in inventory.sites.values():
        assert site.contact_phone == ""
    for series in inventory.subjects:
        if series.target in LOCAL_TARGETS:
            continue
        host = series.target.split("/")[2] if "/" in series.target else series.target
        host = host.partition(":")[0]
        if not host.endswith(".example"):
            assert any(ipaddress.ip_address(host) in n for n in DOCUMENTATION)


def test_lines_are_no_more_certain_than_the_sources(inventory):
    """A commune's carriers are unknown: passive lines and an anchor, nothing to be judged by."""
    selects = {
        (line.kind, line.select)
        for site in communes(inventory)
        for line in inventory.lines[site.id]
    }

    assert selects == {("ftth", "none"), ("tslcd", "anchor")}


def test_what_must_not_answer_is_asked_for(phu_tho):
    """Old database ports from everywhere, TSLCD services over each Internet line of the centre."""
    closed = {check.id for check in phu_tho.checks.values() if check.expect == "unreachable"}
    lines = {series.line for series in phu_tho.subjects if series.check.startswith("tslcd-leak")}

    assert closed == {"db-old-closed", "tslcd-leak-vnpt", "tslcd-leak-viettel"}
    assert lines == {"vnpt", "viettel"}


def test_each_old_system_is_asked_by_its_own_former_province(phu_tho):
    """Carried-over dossiers are looked up where they came from; Hòa Bình's is not named."""
    former = {
        check: {
            phu_tho.sites[phu_tho.site_of_agent[series.agent]].former_province
            for series in phu_tho.subjects
            if series.check == check
        }
        for check in ("tthc-old-phu-tho", "tthc-old-vinh-phuc")
    }

    assert former == {"tthc-old-phu-tho": {"Phú Thọ"}, "tthc-old-vinh-phuc": {"Vĩnh Phúc"}}


@pytest.mark.parametrize(
    ("moment", "profile"),
    [
        (datetime(2025, 6, 28, 22, 59, tzinfo=UTC), "calm"),  # 29/6 05:59 in Vietnam
        (datetime(2025, 6, 28, 23, 0, tzinfo=UTC), "trial"),  # rehearsal
        (datetime(2025, 6, 30, 0, 30, tzinfo=UTC), "live"),  # 30/6 07:30, ceremony
        (datetime(2025, 6, 30, 16, 59, tzinfo=UTC), "calm"),
        (datetime(2025, 6, 30, 17, 0, tzinfo=UTC), "fast"),  # 1/7 00:00, cutover
        (datetime(2025, 7, 10, 0, 0, tzinfo=UTC), "calm"),
    ],
)
def test_the_days_of_2025_are_fast(inventory, moment, profile):
    """Rehearsal, ceremony (without load tests) and cutover are measured quickly, the rest calmly."""
    assert inventory.profile_name_at(moment) == profile


def test_load_tests_have_their_time(inventory):
    """All of the rehearsal's are let run, none of the ceremony's; a round of all ends in time."""
    profiles = inventory.profiles
    assert ("all", "none") == (profiles["trial"].load_tests, profiles["live"].load_tests)
    assert {"vc-sound", "vc-picture", "speed-down", "speed-up"} == {
        series.check for series in inventory.loads
    }
    for check in {series.check for series in inventory.loads}:
        loads = [load for series, load in inventory.loads.items() if series.check == check]
        trunk = inventory.trunks[loads[0].trunk]
        at_once = min(len(loads), runs_at_once(trunk, loads[0].bits_per_second))
        interval = inventory.checks[check].interval_seconds
        assert round_seconds(len(loads), at_once, loads[0].seconds) < interval / 4


def test_the_ceremony_has_stricter_limits_for_all_that_is_told_of(inventory):
    """No limit of its profile is laxer than on other days, and each path and page has a stricter one."""
    days, ceremony = inventory.profiles["calm"].limits, inventory.profiles["live"].limits
    assert days == inventory.profiles["fast"].limits == inventory.profiles["trial"].limits
    for what in ("internet", "tslcd", "conference", "web"):
        usual, strict = asdict(getattr(days, what)), asdict(getattr(ceremony, what))
        usual["mos"], strict["mos"] = -usual.get("mos", 0), -strict.get("mos", 0)

        assert all(strict[name] <= usual[name] for name in usual)
        assert strict != usual


def test_quality_is_told_of_every_line_bridge_and_central_page(inventory):
    """Echoes to the anchors speak of lines, those to the router of the LAN, pages of their system."""
    quality = Fleet(inventory, started_at=0.0).quality
    about: dict[tuple[str, str], set[str]] = {}
    for series, subject in quality.subject_of.items():
        about.setdefault((subject.about, subject.group), set()).add(series.check)

    assert {"anchor", "internet"} == about["line", "internet"]
    assert {"anchor", "tslcd"} == about["line", "tslcd"]
    assert {"gateway"} == about["lan", "lan"]
    assert {"vc", "vc-sound", "vc-picture"} == about["conference", "conference"]
    assert {"tthc", "portal", "qlvb", "dvcqg"} <= about["web", "web"]
    assert len(quality.named) == len(quality.series_of)


def test_every_system_of_the_province_is_measured(inventory):
    """A system that no check is about would stand on the wall without a state."""
    assert {check.system for check in inventory.checks.values()} == set(inventory.systems)


def test_whom_to_call_is_said_for_every_system_and_carrier(inventory):
    """Each has a route, and every route ends with the department on duty."""
    for owned in (*inventory.systems.values(), *inventory.carriers.values()):
        route = inventory.on_call[owned.route]
        assert route.escalate_to in {"", "so-khcn"}
