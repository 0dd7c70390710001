from datetime import UTC, datetime, timedelta

from msgspec.structs import asdict, replace

from agent.wire import Push
from collector.inventory.model import Phase, Profile, Text
from collector.state.fleet import PROFILE_SECONDS, UPGRADE_SECONDS, Fleet
from tests.collector.a_province import (
    DC,
    NOON,
    SILENT_AFTER,
    TCOC,
    YPHU,
    a_province,
    a_push,
    gateway,
)
from tests.collector.state.fleets import a_fleet, feed, tiles

GATEWAY = gateway(YPHU)


def test_silence_is_found_after_the_profiles_patience():
    """Live -> silent when nothing was heard for longer, with the last push as its beginning."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON + 1)
    assert [
        (change.what, change.key, change.before, change.after) for change in fleet.tick(NOON + 1)
    ] == [("agent", YPHU, "never", "live"), ("site", YPHU, "never", "ok")]

    assert fleet.tick(NOON + 1 + SILENT_AFTER) == []
    found = fleet.tick(NOON + 1 + SILENT_AFTER + 0.1)

    assert [
        (change.what, change.key, change.before, change.after, change.since) for change in found
    ] == [
        ("agent", YPHU, "live", "silent", NOON + 1),
        ("site", YPHU, "ok", "silent", NOON + 1),
    ]
    assert {YPHU} == fleet.silent
    assert fleet.tick(NOON + 600) == []


def test_a_site_that_never_reported_is_not_silent():
    """Day one opens no incidents."""
    fleet = a_fleet()

    fleet.tick(NOON + 86400)

    assert {"never"} == set(tiles(fleet).values())
    assert set() == fleet.silent


def test_a_bye_closes_until_the_next_push():
    """An office switched off at 17:00 is no outage, and is back by itself in the morning."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON)
    fleet.heard(YPHU, a_push(YPHU, bye="shutdown"), NOON + 1)
    fleet.tick(NOON + 50_000)
    assert fleet.sites[YPHU].state == "closed"

    fleet.heard(YPHU, a_push(YPHU, boot="b"), NOON + 60_000)

    assert fleet.sites[YPHU].state == "ok"


def test_a_push_overtaken_by_its_own_bye_does_not_reopen():
    """Over two lines the last heartbeat may arrive after the bye."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU, bye="shutdown"), NOON)

    fleet.heard(YPHU, a_push(YPHU), NOON + 0.5)
    fleet.tick(NOON + 100)

    assert fleet.sites[YPHU].state == "closed"


def test_a_bye_overtaken_by_the_next_boot_does_not_close():
    """An upgraded agent is already back when its old boot's bye arrives over the slow line."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU, boot="a"), NOON)
    fleet.heard(YPHU, a_push(YPHU, boot="b"), NOON + 1)

    fleet.heard(YPHU, a_push(YPHU, boot="a", bye="upgrade"), NOON + 1.5)

    assert fleet.agents[YPHU].contact == "live"


def test_an_upgrade_that_does_not_come_back_is_silence():
    """A bye for an upgrade is believed for five minutes."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU, bye="upgrade"), NOON)

    fleet.tick(NOON + UPGRADE_SECONDS)
    assert fleet.sites[YPHU].state == "closed"
    fleet.tick(NOON + UPGRADE_SECONDS + 1)

    assert fleet.sites[YPHU].state == "silent"


def test_two_live_boots_are_a_cloned_pc():
    """Copies of one PC take turns; the flag goes when one of them has gone."""
    fleet = a_fleet()
    for second in range(4):
        fleet.heard(YPHU, a_push(YPHU, boot="ab"[second % 2]), NOON + second)
    assert not fleet.agents[YPHU].cloned

    fleet.heard(YPHU, a_push(YPHU, boot="a"), NOON + 4)
    assert fleet.agents[YPHU].cloned

    fleet.heard(YPHU, a_push(YPHU, boot="a"), NOON + 70)
    assert not fleet.agents[YPHU].cloned


def test_restarts_and_one_straggler_are_no_clone():
    """A program that starts again each second, and a late push of its earlier boot."""
    fleet = a_fleet()

    for second, boot in enumerate("abcdefeff"):
        fleet.heard(YPHU, a_push(YPHU, boot=boot), NOON + second)

    assert not fleet.agents[YPHU].cloned


def test_an_agent_state_says_what_the_last_push_said():
    """Spool, lines, configuration and clock are those of now."""
    fleet = a_fleet()
    push = a_push(
        YPHU, config=7, config_error="no", program="0.1.0", anchor=NOON - 3.0, anchor_error=0.01
    )

    fleet.heard(YPHU, push, NOON)

    agent = fleet.agents[YPHU]
    assert (
        agent.config,
        agent.config_error,
        agent.program,
        agent.clock_error,
    ) == (7, "no", "0.1.0", 0.01)
    assert agent.clock_offset == 2.0


def test_a_new_profile_is_held_against_nobody_at_once():
    """Agents still push at the old rate until they have heard of the new one."""
    begins = datetime.fromtimestamp(NOON, UTC)
    calm = Profile(batch_seconds=10.0, silent_after_seconds=30.0, interval_factor=2.0)
    inventory = replace(
        a_province(),
        profiles={"fast": Profile(batch_seconds=1.0, silent_after_seconds=4.0), "calm": calm},
        default_profile="calm",
        phases={
            "day": Phase(
                name=Text(vi="Ngày", en="Day"),
                begins=begins,
                ends=begins + timedelta(hours=8),
                profile="fast",
            )
        },
    )
    fleet = Fleet(inventory, started_at=NOON - 600)
    fleet.heard(YPHU, a_push(YPHU), NOON - 1)
    fleet.tick(NOON + 9)
    assert fleet.sites[YPHU].state == "ok"

    fleet.heard(YPHU, a_push(YPHU), NOON + PROFILE_SECONDS)
    fleet.tick(NOON + PROFILE_SECONDS + 5)

    assert fleet.sites[YPHU].state == "silent"


def test_a_restart_starts_from_what_was_remembered():
    """Patience counts from the start; the silent stay silent; nothing else is concluded."""
    fleet = a_fleet()
    fleet.remember(YPHU, "live", NOON - 300)
    fleet.remember(TCOC, "silent", NOON - 900)
    fleet.remember(DC, "closed", NOON - 900)
    fleet.tick(NOON + SILENT_AFTER)
    assert tiles(fleet) == {YPHU: "ok", TCOC: "silent", DC: "closed"}

    fleet.tick(NOON + SILENT_AFTER + 0.1)

    assert (fleet.sites[YPHU].state, fleet.sites[YPHU].since) == ("silent", NOON - 300)


def test_the_push_is_not_kept():
    """Batches of a push may be a megabyte: only what it says of the agent stays."""
    fleet = a_fleet()

    fleet.heard(YPHU, a_push(YPHU), NOON)

    assert not any(isinstance(value, Push) for value in asdict(fleet.agents[YPHU]).values())


def test_our_own_absence_is_nobodys_silence():
    """After a stall of the collector patience begins anew."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON)

    fleet.pardon(NOON + 60)
    fleet.tick(NOON + 60 + SILENT_AFTER)
    assert fleet.sites[YPHU].state == "ok"
    fleet.tick(NOON + 60 + SILENT_AFTER + 0.1)

    assert fleet.sites[YPHU].state == "silent"


def test_a_centre_whose_clock_is_set_back_goes_on():
    """Nothing stays up, live or newest because it was so in an hour that has not come yet."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON + 3600)
    feed(fleet, GATEWAY, "uu", NOON + 3600)
    fleet.tick(NOON + 3602)

    fleet.pardon(NOON)
    fleet.tick(NOON + SILENT_AFTER + 0.1)
    feed(fleet, GATEWAY, "dd", NOON + 5)

    assert fleet.sites[YPHU].contact == "silent"
    assert fleet.series[GATEWAY].state == "down"
    fleet.tick(NOON + 17)
    assert fleet.series[GATEWAY].state == "unknown"
