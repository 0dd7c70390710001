from collections.abc import Iterable

from collector.diagnosis.explain import explain
from collector.diagnosis.incident import Change
from collector.diagnosis.replay import Replay
from tests.collector.diagnosis.world import World, lines_of, site_id

A, C = site_id(1), site_id(4)


def a_day() -> World:
    """Return a province that lost a carrier, a system, a resolver and a PC, each for a while."""
    world = World()
    world.journal = []
    world.run(60)
    world.fault("carrier", "vnpt", [site for site in world.offices if "vnpt" in lines_of(site)])
    world.fault("target", "https://tthc.example/", after=100, lasts=120)
    world.fault("resolver", "", [C], after=250, lasts=60)
    world.fault("power", "", [A], after=330)
    world.run(460)
    return world


def ended(changes: Iterable[Change]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what was closed, without the times."""
    return sorted(
        (change.incident.cause, change.incident.key, change.incident.sites)
        for change in changes
        if change.kind == "closed"
    )


def test_the_journal_tells_the_same_incidents_again():
    """Twice the same to the last letter; and what the living collector told."""
    world = a_day()
    replays = []
    for _ in range(2):
        replay = Replay(world.inventory, world.started)
        replay.take(world.journal)
        replay.until(world.now)
        replays.append(replay.told)

    assert replays[0] == replays[1]
    lived = [change for _, change in world.told]
    assert ended(replays[0]) == ended(lived)
    since = {change.incident.key: change.incident.since for change in lived}
    for change in replays[0]:
        # The last heartbeats before a silence are not in the journal.
        assert abs(change.incident.since - since[change.incident.key]) < 5.0


def test_a_site_is_explained_by_facts_and_rules():
    """What the agent saw, what was found, by which rule, and the incident that came of it."""
    world = World()
    world.run(60)
    world.fault("line", "vnpt", [C])
    world.run(20)

    text = explain(C, world.fleet, world.incidents, world.now)

    assert f"{C} {C}: degraded, live at 10:01:20 (Asia/Ho_Chi_Minh)" in text
    assert "internet 203.0.113.1 (vnpt): down of timeout" in text
    assert f"line_down {C}/vnpt" in text
    assert "rule: every anchor over this line fails, and nothing came through it since" in text
    assert "line viettel: up" in text
    assert "opened: line_down, 1 sites" in text
