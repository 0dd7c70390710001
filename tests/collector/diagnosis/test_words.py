import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Incident, Member
from collector.diagnosis.words import local_time, site_name, title, where
from collector.inventory.model import Series, Text
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province, gateway

SILENT = Incident(
    id="phu-tho-250701-001",
    cause="site_silent",
    scope="site",
    severity="page",
    sites=(YPHU,),
    since=NOON,
    opened_at=NOON,
)
GATEWAY = replace(SILENT, cause="check_down", check="gateway", system="lan")


def members(*series: Series) -> tuple[Member, ...]:
    """Return members that fail."""
    return tuple(Member(series=one, since=NOON, failure="timeout") for one in series)


@pytest.mark.parametrize(
    ("incident", "vi", "en"),
    [
        (SILENT, "Mất liên lạc", "Not reporting"),
        (GATEWAY, "Sự cố: Kiểm tra gateway", "Failing: Check gateway"),
        (replace(GATEWAY, check="removed"), "Sự cố: removed", "Failing: removed"),
    ],
)
def test_the_title_is_a_few_words(incident, vi, en):
    """The cause in words; a check by its name, by its id when it has left the inventory."""
    assert title(incident, a_province()) == Text(vi=vi, en=en)


FAILING = members(*(gateway(YPHU, f"192.168.1.{n}") for n in range(1, 6)))


@pytest.mark.parametrize(
    ("incident", "vi", "en"),
    [
        (SILENT, "Xã Yên Phú", "Yên Phú commune"),
        (replace(SILENT, sites=(DC,)), "Trung tâm dữ liệu tỉnh", "Trung tâm dữ liệu tỉnh"),
        (replace(SILENT, sites=(YPHU, "99999")), "Xã Yên Phú, 99999", "Yên Phú commune, 99999"),
        (
            replace(GATEWAY, members=members(Series(TCOC, "internet", "a.example", "vnpt"))),
            "Xã Yên Phú: a.example (vnpt)",
            "Yên Phú commune: a.example (vnpt)",
        ),
        (
            replace(GATEWAY, members=FAILING),
            "Xã Yên Phú: 192.168.1.1, 192.168.1.2, 192.168.1.3 và 2 đích khác",
            "Yên Phú commune: 192.168.1.1, 192.168.1.2, 192.168.1.3 and 2 more",
        ),
        (
            replace(GATEWAY, members=(replace(FAILING[0], up_at=NOON), FAILING[1])),
            "Xã Yên Phú: 192.168.1.2",
            "Yên Phú commune: 192.168.1.2",
        ),
    ],
)
def test_where_names_the_place_and_what_still_fails(incident, vi, en):
    """Three targets are named; what is up again is not."""
    assert where(incident, a_province()) == Text(vi=vi, en=en)


def test_times_are_local():
    """People read their own clock."""
    assert local_time(NOON, a_province()) == "12:00:00 01/07/2025"


def test_a_commune_is_called_by_its_kind_once():
    """Folders write `Xã Yên Phú` or `Yên Phú`; pages say `Xã Yên Phú` of both."""
    site = a_province().sites[YPHU]

    assert site_name(replace(site, name="Yên Phú")) == "Xã Yên Phú"
    assert site_name(replace(site, name="Xã Yên Phú")) == "Xã Yên Phú"
    assert site_name(replace(site, name="Xã Yên Phú"), "en") == "Yên Phú commune"
