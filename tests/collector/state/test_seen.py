from msgspec.structs import replace

from collector.inventory.model import Carrier
from collector.state.fleet import Fleet
from collector.state.seen import Networks
from tests.collector.a_province import NOON, YPHU, a_province, a_push
from tests.collector.state.fleets import a_fleet


def seen(fleet: Fleet) -> tuple[str, str]:
    """Return where the agent was heard from, and whose network that is."""
    agent = fleet.agents[YPHU]
    return agent.address, agent.carrier


def test_the_carrier_is_known_by_its_networks():
    """Of both IP versions; an address of nobody has none."""
    networks = Networks(
        {
            "vnpt": Carrier(name="VNPT", networks=["203.0.113.0/25", "2001:db8:1::/48"]),
            "viettel": Carrier(name="Viettel", networks=["203.0.113.128/25"]),
        }
    )

    found = [
        networks.carrier_of(address)
        for address in ("203.0.113.1", "203.0.113.200", "2001:db8:1::9", "2001:db8:2::9", "")
    ]

    assert found == ["vnpt", "viettel", "vnpt", "", ""]


def test_an_office_that_cannot_choose_is_seen_by_its_address():
    """Its newest push says where it is; one over a line that the agent chose says nothing of that."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON, "203.0.113.9")
    assert seen(fleet) == ("203.0.113.9", "vnpt")
    fleet.heard(YPHU, a_push(YPHU), NOON + 1, "203.0.113.200")
    assert seen(fleet) == ("203.0.113.200", "")
    fleet.heard(YPHU, a_push(YPHU, via="vnpt"), NOON + 2, "203.0.113.9")
    assert seen(fleet) == ("", "")


def test_another_inventory_knows_other_networks():
    """The address stays; whose it is, is looked up again."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON, "203.0.113.200")
    carriers = {"viettel": Carrier(name="Viettel", networks=["203.0.113.128/25"])}
    fleet.reload(replace(a_province(), carriers=carriers), NOON + 1)

    assert seen(fleet) == ("203.0.113.200", "viettel")
