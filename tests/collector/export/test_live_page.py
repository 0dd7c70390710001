import pytest
from msgspec.structs import replace

from collector.diagnosis.incidents import Incidents
from collector.export.exposition import Exposition
from collector.export.fragments import ALL_CHECKS_LIVE, JUST_BACK_SECONDS
from collector.inventory.model import Inventory, Series
from tests.collector.a_province import (
    NOON,
    YPHU,
    a_province,
    a_push,
    gateway,
)
from tests.collector.export.pages import named
from tests.collector.state.fleets import a_fleet, decided, feed

GATEWAY = gateway(YPHU)
HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


def test_the_live_page_word_for_word():
    """Sites, confirmed checks and incidents; what is unknown has no line."""
    fleet, incidents = a_fleet(a_province([YPHU])), Incidents()
    fleet.heard(YPHU, a_push(YPHU), NOON + 0.5)
    feed(fleet, GATEWAY, "dd")
    feed(fleet, HTTP, "u")
    feed(fleet, Series(YPHU, "dns", "192.168.1.1", ""), "d")
    feed(fleet, Series(YPHU, "internet", "anchor.example", "vnpt"), "u")
    decided(incidents, fleet, NOON + 2)
    exposition = Exposition(fleet, url="https://centre.example")
    exposition.show(incidents.open.values())

    assert (
        exposition.live(NOON + 2).decode()
        == """\
# HELP thongsuot_site_up Whether any agent of the site is heard. 0 after it fell silent; absent before it was ever heard and while it is closed (its agents said bye).
# TYPE thongsuot_site_up gauge
thongsuot_site_up{site="05305"} 1
# HELP thongsuot_site_last_seen_timestamp_seconds When the site was last heard.
# TYPE thongsuot_site_last_seen_timestamp_seconds gauge
thongsuot_site_last_seen_timestamp_seconds{site="05305"} 1751346000.500
# HELP thongsuot_check_up Whether a check succeeds, confirmed by two of its last three attempts; absent when unknown.
# TYPE thongsuot_check_up gauge
thongsuot_check_up{site="05305",agent="05305",check="gateway",target="192.168.1.1"} 0
thongsuot_check_up{site="05305",agent="05305",check="internet",target="anchor.example",line="vnpt"} 1
thongsuot_check_up{site="05305",agent="05305",check="tthc",target="https://tthc.example/"} 1
# HELP thongsuot_incident An open incident, 1.
# TYPE thongsuot_incident gauge
thongsuot_incident{id="phu-tho-250701-001",severity="page",cause="lan_down",scope="site",site="05305",system="lan"} 1
# HELP thongsuot_incident_info An open incident in words, 1.
# TYPE thongsuot_incident_info gauge
thongsuot_incident_info{id="phu-tho-250701-001",title="Sự cố: Kiểm tra gateway",where="Xã Yên Phú: 192.168.1.1",since="12:00:00 01/07/2025",url="https://centre.example/"} 1
"""
    )


@pytest.mark.parametrize(
    ("contact", "lines"),
    [
        ("never", []),
        ("live", ['thongsuot_site_up{site="05305"} 1']),
        ("silent", ['thongsuot_site_up{site="05305"} 0']),
        ("closed", []),
    ],
)
def test_site_up_says_only_what_is_known(contact, lines):
    """Silence after a sign of life is 0; before the first, and after a bye, nothing is said."""
    fleet = a_fleet(a_province([YPHU]))
    if contact != "never":
        fleet.heard(YPHU, a_push(YPHU, bye="shutdown" if contact == "closed" else ""), NOON)
    fleet.tick(NOON + (100 if contact == "silent" else 0))

    assert lines == named(Exposition(fleet).live(NOON), "thongsuot_site_up{")


def many_sites(count: int) -> Inventory:
    """Return a province of as many sites with one check each."""
    small = a_province([YPHU])
    sites = [f"{number:05d}" for number in range(count)]
    series = {site: gateway(site) for site in sites}
    return replace(
        small,
        sites={site: replace(small.sites[YPHU], id=site, agents=(site,)) for site in sites},
        site_of_agent={site: site for site in sites},
        subjects={one: site for site, one in series.items()},
        series_of_agent={site: (one,) for site, one in series.items()},
        interval_of=dict.fromkeys(series.values(), 1.0),
    )


@pytest.mark.parametrize("count", [ALL_CHECKS_LIVE, ALL_CHECKS_LIVE + 1])
def test_a_nations_live_page_has_what_is_not_up_or_just_back(count):
    """Up to 400 sites every check is live; above, rules over all of them take too long."""
    fleet = a_fleet(many_sites(count))
    exposition = Exposition(fleet)
    for number in range(count):
        feed(fleet, gateway(f"{number:05d}"), "dd" if number == 7 else "u")

    def shown(at: float) -> list[str]:
        return named(exposition.live(at), "thongsuot_check_up{")

    assert len(shown(NOON + JUST_BACK_SECONDS)) == count
    down = 'thongsuot_check_up{site="00007",agent="00007",check="gateway",target="192.168.1.1"} 0'
    if count == ALL_CHECKS_LIVE:
        assert len(shown(NOON + JUST_BACK_SECONDS + 1)) == count
        return
    assert shown(NOON + JUST_BACK_SECONDS + 1) == [down]
    feed(fleet, gateway("00007"), "uu", NOON + 90)
    assert shown(NOON + 90 + JUST_BACK_SECONDS) == [down[:-1] + "1"]
    assert shown(NOON + 91 + JUST_BACK_SECONDS) == []
