import pytest
from msgspec.structs import replace

from agent.wire import PowerState
from collector.diagnosis.case import FLAPPING_QUIET_SECONDS, QUIET_SECONDS
from collector.diagnosis.compare import HOLD_SECONDS, TICKET_SECONDS
from collector.diagnosis.incident import Change
from collector.diagnosis.incidents import Incidents
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from tests.collector.a_province import (
    DC,
    NOON,
    SILENT_AFTER,
    TCOC,
    TCOC_TTPV,
    YPHU,
    a_province,
    a_push,
    a_sample,
    gateway,
    with_systems,
)
from tests.collector.state.fleets import a_fleet, feed

GATEWAY = gateway(YPHU)


def settled(incidents: Incidents, fleet: Fleet, now: float) -> list[Change]:
    """Return what is told at a moment and once what is found then was held for long enough."""
    return [*incidents.observe(fleet, now), *incidents.observe(fleet, now + HOLD_SECONDS)]


def after_quiet(incidents: Incidents, fleet: Fleet, now: float) -> list[Change]:
    """Return what is told now and once all has been good for long enough."""
    return [*incidents.observe(fleet, now), *incidents.observe(fleet, now + QUIET_SECONDS)]


def told(changes: list[Change]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what was told, without the details."""
    return [(change.kind, change.incident.cause, change.incident.sites) for change in changes]


def silent_fleet(*agents: str) -> Fleet:
    """Return a fleet in which these agents were heard at NOON and are silent."""
    fleet = a_fleet()
    for agent in agents:
        fleet.heard(agent, a_push(agent), NOON)
    fleet.tick(NOON + SILENT_AFTER + 1)
    return fleet


def test_a_silent_site_that_cannot_choose_its_line():
    """What is told is whose network it was heard from last."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON, "203.0.113.9")
    fleet.tick(NOON + 5)

    (opened,) = settled(Incidents(), fleet, NOON + 5)

    address, carrier = "203.0.113.9", "vnpt"
    assert (
        opened.incident.facts.items()
        >= {"05305 address": address, "05305 carrier": carrier}.items()
    )
    assert opened.incident.carrier == "vnpt"


def test_a_silent_site_is_one_page_and_one_close():
    """It begins with the last sign of life and ends with the next, once that has lasted."""
    fleet, incidents = a_fleet(), Incidents()
    fleet.heard(YPHU, a_push(YPHU, via="vnpt", power=PowerState(on_mains=True)), NOON)
    fleet.tick(NOON + 5)
    assert incidents.observe(fleet, NOON + 5) == []

    (opened,) = incidents.observe(fleet, NOON + 7)

    incident = opened.incident
    assert told([opened]) == [("opened", "site_silent", (YPHU,))]
    assert (
        incident.id,
        incident.key,
        incident.scope,
        incident.severity,
    ) == ("phu-tho-250701-001", YPHU, "site", "page")
    assert (incident.since, incident.opened_at, incident.closed_at) == (NOON, NOON + 7, None)
    assert incident.facts == {
        "rule": "a site that was heard is not heard any more, without a bye",
        "05305 power": "mains",
        "05305 line": "vnpt",
    }
    assert [(step.kind, step.at, step.sites) for step in incident.life] == [("opened", NOON + 7, 1)]
    assert incidents.observe(fleet, NOON + 8) == []

    fleet.heard(YPHU, a_push(YPHU), NOON + 70)
    assert told(incidents.observe(fleet, NOON + 70)) == [("changed", "site_silent", (YPHU,))]
    assert incidents.observe(fleet, NOON + 77.9) == []
    (closed,) = incidents.observe(fleet, NOON + 78)

    assert told([closed]) == [("closed", "site_silent", (YPHU,))]
    assert (closed.incident.closed_at, closed.incident.ending) == (NOON + 70, "recovered")
    assert [step.kind for step in closed.incident.life] == ["opened", "closed"]
    assert dict(incidents.open) == {}
    assert incidents.observe(fleet, NOON + 79) == []


def test_a_bye_opens_nothing_and_closes_a_silence():
    """A PC that comes back only to be switched off was heard."""
    fleet, incidents = silent_fleet(YPHU), Incidents()
    settled(incidents, fleet, NOON + 5)

    fleet.heard(YPHU, a_push(YPHU, bye="shutdown"), NOON + 60)
    (_, closed) = after_quiet(incidents, fleet, NOON + 60)
    assert told([closed]) == [("closed", "site_silent", (YPHU,))]

    fleet.tick(NOON + 9999)
    assert settled(incidents, fleet, NOON + 9999) == []


def test_what_comes_back_within_the_quiet_time_is_the_same_incident():
    """Twice within ten minutes it comes and goes, and has to be good for longer."""
    fleet, incidents = silent_fleet(YPHU), Incidents()
    (opened,) = settled(incidents, fleet, NOON + 5)
    for at in (NOON + 20, NOON + 30):
        fleet.heard(YPHU, a_push(YPHU), at)
        incidents.observe(fleet, at)
        fleet.tick(at + SILENT_AFTER + 1)
        incidents.observe(fleet, at + SILENT_AFTER + 1)

    assert incidents.open[opened.incident.id].flapping
    fleet.heard(YPHU, a_push(YPHU), NOON + 40)
    assert [change.kind for change in after_quiet(incidents, fleet, NOON + 40)] == ["changed"]
    (closed,) = incidents.observe(fleet, NOON + 40 + FLAPPING_QUIET_SECONDS)
    assert (closed.kind, closed.incident.closed_at) == ("closed", NOON + 40)


def test_all_gateways_and_agents_of_a_site_are_one_incident():
    """Members join as they fail; it closes when the last one is up again."""
    fleet, incidents = a_fleet(), Incidents()
    for agent in (TCOC, TCOC_TTPV):
        fleet.heard(agent, a_push(agent), NOON)
    members = [gateway(TCOC), gateway(TCOC, "192.168.1.2"), gateway(TCOC_TTPV)]
    feed(fleet, members[0], "udd")
    (opened,) = settled(incidents, fleet, NOON + 3)
    assert told([opened]) == [("opened", "lan_down", (TCOC,))]
    assert (opened.incident.since, opened.incident.members[0].failure) == (NOON + 1, "timeout")

    feed(fleet, members[1], "dd", NOON + 5)
    feed(fleet, members[2], "dd", NOON + 5)
    (changed,) = incidents.observe(fleet, NOON + 7)
    assert told([changed]) == [("changed", "lan_down", (TCOC,))]
    assert [member.series for member in changed.incident.members] == members

    feed(fleet, members[0], "uu", NOON + 7)
    feed(fleet, members[1], "uu", NOON + 7.5)
    (changed,) = incidents.observe(fleet, NOON + 9)
    assert [member.up_at for member in changed.incident.members] == [NOON + 7, NOON + 7.5, None]

    feed(fleet, members[0], "dd", NOON + 9)
    feed(fleet, members[2], "uu", NOON + 9)
    (changed,) = incidents.observe(fleet, NOON + 11)
    assert [member.up_at for member in changed.incident.members] == [None, NOON + 7.5, NOON + 9]

    feed(fleet, members[0], "uu", NOON + 11)
    (*_, closed) = after_quiet(incidents, fleet, NOON + 13)
    assert ("closed", opened.incident.id, NOON + 11, "recovered") == (
        closed.kind,
        closed.incident.id,
        closed.incident.closed_at,
        closed.incident.ending,
    )


@pytest.mark.parametrize(
    ("check", "scope", "severity", "cause"),
    [
        ("gateway", "site", "page", "lan_down"),
        ("gateway", "external", "page", "lan_down"),
        ("internet", "external", "page", "line_down"),
        ("dns", "site", "page", "dns_broken"),
        ("dns", "external", "ticket", "system_unreachable_from_site"),
        ("tthc", "central", "page", "system_unreachable_from_site"),
        ("tthc", "external", "ticket", "system_unreachable_from_site"),
        ("tthc", "site", "page", "check_down"),
    ],
)
def test_who_is_woken(check, scope, severity, cause):
    """Below the services always a page; others are a ticket where nobody here can mend them."""
    systems = {"gateway": "lan", "internet": "internet", "dns": "internet", "tthc": "tthc"}
    fleet = a_fleet(with_systems(a_province(), **{systems[check]: scope}))
    fleet.heard(YPHU, a_push(YPHU), NOON)
    series = next(one for one in fleet.inventory.series_of_agent[YPHU] if one.check == check)
    feed(fleet, series, "dd")

    incidents = Incidents()
    found = settled(incidents, fleet, NOON + 2)
    if severity == "ticket":
        assert found == []
        found = incidents.observe(fleet, NOON + 2 + TICKET_SECONDS)

    (opened,) = found
    incident = opened.incident
    assert (cause, severity) == (incident.cause, incident.severity)


def test_checks_of_a_silent_site_open_nothing_until_it_is_back():
    """The data centre sees the site's own system fail too: asked again, it is told."""
    fleet = a_fleet(with_systems(a_province(), tthc="site"))
    fleet.heard(YPHU, a_push(YPHU), NOON)
    fleet.heard(DC, a_push(DC), NOON + 4)
    fleet.tick(NOON + 5)
    incidents = Incidents()
    settled(incidents, fleet, NOON + 5)
    web = Series(DC, "web", f"https://{YPHU}.example/", "")
    fleet.heard(DC, a_push(DC), NOON + 7)
    feed(fleet, web, "dd", NOON + 7)
    assert settled(incidents, fleet, NOON + 9) == []

    fleet.heard(YPHU, a_push(YPHU), NOON + 12)
    fleet.heard(DC, a_push(DC), NOON + 12)
    after_quiet(incidents, fleet, NOON + 12)
    assert dict(incidents.open) == {}
    feed(fleet, web, "d", NOON + 70)

    assert told(settled(incidents, fleet, NOON + 71)) == [("opened", "check_down", (YPHU,))]


def test_a_silent_pc_explains_no_central_system():
    """The commune's web site stands in the data centre: that it fails is told at once."""
    fleet, incidents = silent_fleet(YPHU), Incidents()
    settled(incidents, fleet, NOON + 5)

    fleet.heard(DC, a_push(DC), NOON + 7)
    feed(fleet, Series(DC, "web", f"https://{YPHU}.example/", ""), "dd", NOON + 7)

    assert told(settled(incidents, fleet, NOON + 9)) == [("opened", "system_down", (YPHU,))]


def test_unknown_is_not_up():
    """A dead gateway of a site that falls silent stays told until it is seen up."""
    fleet, incidents = a_fleet(), Incidents()
    fleet.heard(YPHU, a_push(YPHU), NOON + 2)
    feed(fleet, GATEWAY, "dd")
    settled(incidents, fleet, NOON + 2)

    fleet.tick(NOON + 3600)
    assert fleet.series[GATEWAY].state == "unknown"
    assert told(settled(incidents, fleet, NOON + 3600)) == [("opened", "site_silent", (YPHU,))]

    fleet.heard(YPHU, a_push(YPHU), NOON + 3700)
    feed(fleet, GATEWAY, "u", NOON + 3700)
    (*_, first, second) = after_quiet(incidents, fleet, NOON + 3701)
    assert told([first, second]) == [
        ("closed", "lan_down", (YPHU,)),
        ("closed", "site_silent", (YPHU,)),
    ]


def test_a_lost_memory_closes_nothing():
    """Started again without the agents' last contacts, a silence stays open until it ends."""
    incidents = Incidents()
    settled(incidents, silent_fleet(YPHU), NOON + 5)
    incidents = Incidents(incidents.open.values())
    fleet = a_fleet()

    fleet.tick(NOON + 60)
    assert settled(incidents, fleet, NOON + 60) == []

    fleet.heard(YPHU, a_push(YPHU), NOON + 61)
    assert told(after_quiet(incidents, fleet, NOON + 61))[-1:] == [
        ("closed", "site_silent", (YPHU,))
    ]


def test_a_backlog_opens_nothing():
    """A day of failures that arrives after the line was mended is history."""
    fleet, incidents = a_fleet(), Incidents()
    feed(fleet, GATEWAY, "u", NOON + 900)

    for late in range(0, 900, 5):
        fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + late, trusted=True, now=NOON + 901)
        assert settled(incidents, fleet, NOON + 901) == []


def test_what_left_the_inventory_holds_nothing_open():
    """A removed target, a removed check, a removed site."""
    fleet, incidents = a_fleet(), Incidents()
    for agent in (YPHU, TCOC):
        fleet.heard(agent, a_push(agent), NOON)
    second = gateway(YPHU, "192.168.1.2")
    feed(fleet, GATEWAY, "dd")
    feed(fleet, second, "dd")
    feed(fleet, gateway(TCOC), "dd")
    settled(incidents, fleet, NOON + 2)
    whole = a_province()
    without = {key: site for key, site in whole.subjects.items() if key != second}
    of_agent = {
        agent: tuple(one for one in series if one != second)
        for agent, series in whole.series_of_agent.items()
    }

    fleet.reload(replace(whole, subjects=without, series_of_agent=of_agent), NOON + 5)
    (changed,) = incidents.observe(fleet, NOON + 5)
    assert [member.series for member in changed.incident.members] == [GATEWAY]

    fleet.reload(a_province([DC]), NOON + 6)
    gone = incidents.observe(fleet, NOON + 6)
    assert [
        (change.kind, change.incident.ending, change.incident.closed_at) for change in gone
    ] == [("closed", "removed", NOON + 6)] * 2


HALF_A_DAY = 12 * 3600.0


@pytest.mark.parametrize(
    ("last", "later", "given"),
    [
        ("", 0.0, "phu-tho-250701-001"),
        ("phu-tho-250701-041", 0.0, "phu-tho-250701-042"),
        ("phu-tho-250701-999", 0.0, "phu-tho-250701-1000"),
        ("phu-tho-250630-041", 0.0, "phu-tho-250701-001"),
        ("phu-tho-250702-041", 0.0, "phu-tho-250702-042"),
        ("thanh-hoa-250701-041", 0.0, "phu-tho-250701-001"),
        ("phu-tho-250701-041", HALF_A_DAY - 3, "phu-tho-250701-042"),
        ("phu-tho-250701-041", HALF_A_DAY, "phu-tho-250702-001"),
    ],
)
def test_ids_count_by_local_day_and_never_twice(last, later, given):
    """From 001 each local day; a clock set back stays on the later day; each province its own."""
    incidents = Incidents(last_id=last)

    (opened,) = settled(incidents, silent_fleet(YPHU), NOON + later)

    assert given == opened.incident.id
    assert list(incidents.open) == [given]


@pytest.mark.parametrize(
    ("last", "later", "given"),
    [
        ("phu-tho-250701-041", 0.0, "phu-tho-250701r1130-001"),
        ("phu-tho-250701r0900-007", 0.0, "phu-tho-250701r1130-001"),
        ("phu-tho-250701r1130-007", 0.0, "phu-tho-250701r1130-008"),
        ("phu-tho-250701r1130-007", HALF_A_DAY, "phu-tho-250702-001"),
    ],
)
def test_after_a_restore_no_id_is_given_that_may_have_been_given_since_the_backup(
    last, later, given
):
    """What remains of the day has the time of the restore in its ids."""
    incidents = Incidents(last_id=last, restored_at=NOON - 1800.0)

    (opened,) = settled(incidents, silent_fleet(YPHU), NOON + later)

    assert given == opened.incident.id
