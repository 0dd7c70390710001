"""The table of slots: what a trunk, a site, a line and a phase bear, and whose turn it is."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from collector.bridge.lease import key_of, read_lease
from collector.bridge.slots import Slots, golden_order
from collector.inventory.model import Load, Series
from tests.collector.a_province import NOON
from tests.collector.bridge.tables import SECRET, TARGET, Simulated, a_load, with_sites

VIDEO = {"video": (a_load("720p", 30.0), 3600.0)}
ALWAYS_DUE = {"video": (a_load("720p", 30.0), 40.0)}


def bits(runs) -> float:
    """Return what runs load together."""
    return sum(one.load.bits_per_second for one in runs)


def test_a_slot_is_told_until_it_begins():
    """The same slot in each answer, counted down; nothing after its begin, nothing to others."""
    here = Simulated(with_sites(1, VIDEO)).past_the_start()
    while not (slots := here.table.told_to("00000", here.now)):
        here.pass_time(0.5)
    (slot,) = slots
    begins = here.now + slot.starts_in

    again = here.table.told_to("00000", begins - 1.0)
    load = VIDEO["video"][0]

    assert 3.0 <= slot.starts_in <= 5.0
    assert [replace(slot, starts_in=again[0].starts_in)] == again
    assert again[0].starts_in == pytest.approx(1.0)
    assert [] == here.table.told_to("00000", begins)
    assert [] == here.table.told_to("00001", here.now)
    assert ("video", TARGET, "", 30.0, load.max_bytes) == (
        slot.check,
        slot.target,
        slot.line,
        slot.max_seconds,
        slot.max_bytes,
    )


def test_a_media_slot_has_a_lease_of_its_own():
    """It bounds packets, their size and pace, and the time; the key is the lease's."""
    here = Simulated(with_sites(1, VIDEO)).past_the_start()
    while not (slots := here.table.told_to("00000", here.now)):
        here.pass_time(0.5)
    (slot,) = slots
    lease = read_lease(slot.lease, SECRET)

    assert key_of(slot.lease, SECRET) == slot.key
    assert (slot.session, 4688, 196, 1212) == (
        lease.session,
        lease.max_packets,
        lease.max_packets_per_second,
        lease.max_packet_bytes,
    )
    assert lease.not_before == pytest.approx(here.now + slot.starts_in)
    assert 35.0 == pytest.approx(lease.not_after - lease.not_before)


def test_without_the_secret_no_media_slot_is_given_and_it_is_said():
    """Throughput needs no lease and goes on."""
    speed = Load(trunk="bridge", bits_per_second=8e6, seconds=10.0, max_bytes=10**7, sound=False)
    here = Simulated(with_sites(4, {**VIDEO, "speed": (speed, 600.0)}))
    here.table = Slots(here.inventory, here.now)
    here.pass_time(4000.0)

    assert {"speed"} == {one.series.check for one in here.runs.values()}
    assert {(0, b"", b"")} == {(one.session, one.lease, one.key) for one in here.runs.values()}
    assert 4 == here.table.waiting["secret"]


@pytest.mark.parametrize(
    ("mbit_s", "share", "stream", "at_once", "seconds"),
    [
        (100.0, 0.2, "720p", 12, 455.0),
        (100.0, 0.5, "720p", 31, 175.0),
        (1000.0, 0.1, "720p", 63, 105.0),
        (1000.0, 0.2, "720p", 127, 70.0),
        (100.0, 0.2, "1080p", 4, 1295.0),
        (100.0, 0.5, "1080p", 11, 490.0),
        (1000.0, 0.1, "1080p", 23, 245.0),
        (1000.0, 0.2, "1080p", 47, 140.0),
        (100.0, 0.2, "g711", 148, 35.0),
    ],
)
def test_a_round_of_148_sites_takes_what_is_computed(mbit_s, share, stream, at_once, seconds):
    """All due at once, as after a freeze: K at a time, and the whole round in its time."""
    freeze = (NOON - 10_000.0, NOON + 8_000.0, "none")
    inventory = with_sites(
        148, {"c": (a_load(stream), 7200.0)}, mbit_s=mbit_s, share=share, phases=[freeze]
    )
    here = Simulated(inventory, at=NOON + 7_000.0)
    here.table = Slots(inventory, NOON - 1_000.0, secret=SECRET)
    most = 0

    def look():
        nonlocal most
        most = max(most, len(here.table.active(here.now)["bridge"]))

    here.pass_time(1_000.0 + seconds + 60.0, step=0.25, each=look)
    begins = sorted(one.begins for one in here.runs.values())[:148]

    assert at_once == most
    assert 148 == len({one.series for one in here.runs.values() if one.begins <= begins[-1]})
    assert NOON + 8_000.0 <= begins[0] < NOON + 8_000.5
    rounds = seconds / 35.0
    assert 0 <= begins[-1] + 35.0 - begins[0] - seconds <= 0.25 * rounds


def test_neighbours_are_far_apart():
    """Sites side by side in the file, and the second next, have their turns far from each other."""
    order = golden_order(148)

    assert sorted(order) == list(range(148))
    for distance, least in ((1, 50), (2, 30), (3, 15)):
        gaps = [abs(one - other) for one, other in zip(order, order[distance:], strict=False)]
        assert least <= min(min(gap, 148 - gap) for gap in gaps), distance
    assert [0] == golden_order(1)
    assert sorted(golden_order(2)) == [0, 1]


def test_a_restart_keeps_everyones_place():
    """Two tables made at different times give a run at the same place of its interval."""
    inventory = with_sites(20, {"sound": (a_load("g711", 20.0), 900.0)})
    one, other = Simulated(inventory), Simulated(inventory, at=NOON + 333.0)
    one.pass_time(4 * 900.0)
    other.pass_time(4 * 900.0)

    def places(here):
        return {
            given.series: round(given.begins % 900.0)
            for given in sorted(here.runs.values(), key=lambda given: given.begins)
        }

    assert places(one).keys() == places(other).keys() == set(inventory.loads)
    for series, place in places(one).items():
        assert (
            min((place - places(other)[series]) % 900, (places(other)[series] - place) % 900) <= 3
        )


def test_nothing_begins_while_a_run_before_the_restart_may_still_go_on():
    """The pause after a start is as long as the longest run and its guard."""
    here = Simulated(with_sites(30, ALWAYS_DUE))
    here.pass_time(34.5)

    assert {} == here.runs
    assert here.table.waiting["start"] > 0

    here.pass_time(10.0)
    assert min(one.begins for one in here.runs.values()) >= NOON + 35.0


def test_a_phase_that_forbids_it_is_looked_ahead_for():
    """No run reaches into a ceremony; sound goes on where sound is allowed; afterwards all is."""
    begins, ends = NOON + 600.0, NOON + 1200.0
    checks = {**ALWAYS_DUE, "sound": (a_load("opus", 20.0), 60.0)}
    here = Simulated(with_sites(6, checks, phases=[(begins, ends, "sound")]))
    reasons = []
    here.pass_time(1600.0, each=lambda: reasons.append((here.now, here.table.waiting["phase"])))

    video = [one for one in here.runs.values() if one.series.check == "video"]
    sound = [one for one in here.runs.values() if one.series.check == "sound"]
    assert [] == [one for one in video if one.begins < ends and one.begins + 30.0 >= begins]
    assert max(one.begins for one in video if one.begins < begins) > begins - 80.0
    assert min(one.begins for one in video if one.begins >= begins) < ends + 1.0
    assert {0, 1, 2, 3, 4, 5} == {
        int(one.series.agent) for one in sound if begins < one.begins < ends
    }
    assert 6 == max(count for at, count in reasons if begins < at < ends - 10.0)
    assert 0 == reasons[-1][1]


def test_a_slot_nobody_heard_of_is_free_again():
    """An agent that was heard and then falls silent takes nothing from the others."""
    inventory = with_sites(2, ALWAYS_DUE, mbit_s=2.0, share=1.0)  # one at a time
    here = Simulated(inventory)
    dumb = "00000"
    here.past_the_start()
    while not any(one.series.agent == dumb and not one.told for one in here.table.given):
        here.table.tick(here.now, here.live())
        here.table.told_to("00001", here.now)
        here.now += 0.5
    (lost,) = (one for one in here.table.given if one.series.agent == dumb)

    here.live = lambda: {"00001"}
    here.pass_time(lost.begins - here.now + 6.0)

    assert lost not in here.table.given
    begun = [one.begins for one in here.runs.values() if one.begins > lost.begins - 1]
    assert begun
    assert min(begun) < lost.begins + 5.0


def test_who_is_not_heard_gets_nothing_and_is_counted():
    """A silent agent waits; when it is heard again its turn comes at once."""
    here = Simulated(with_sites(3, ALWAYS_DUE))
    everybody = here.live()
    here.live = lambda: everybody - {"00001"}
    here.pass_time(200.0)
    assert "00001" not in {one.series.agent for one in here.runs.values()}
    assert 1 == here.table.waiting["silent"]

    here.live = lambda: everybody
    here.pass_time(10.0)
    assert "00001" in {one.series.agent for one in here.runs.values()}


@pytest.mark.parametrize(
    ("contract", "stream", "runs"),
    [(None, "720p", True), (None, "1080p", False), (3.0, "720p", False), (8.4, "1080p", True)],
)
def test_a_line_is_never_loaded_beyond_half_its_contract(contract, stream, runs):
    """An unknown contract counts as 4 Mbit/s; what is too thin for ever is counted so."""
    here = Simulated(with_sites(2, {"c": (a_load(stream), 60.0)}, contract=contract))
    here.pass_time(200.0)

    assert runs is bool(here.runs)
    assert (0 if runs else 2) == here.table.waiting["line"]


def test_a_thick_run_is_not_starved_by_thin_ones():
    """1080p needs nearly the whole trunk; sound leaves it room when its turn has come."""
    checks = {"sound": (a_load("g711", 20.0), 60.0), "video": (a_load("1080p", 30.0), 600.0)}
    inventory = with_sites(30, checks, mbit_s=4.5, share=1.0)
    loads = {
        series: load
        for series, load in inventory.loads.items()
        if series.check == "sound" or series.agent == "00000"
    }
    here = Simulated(replace(inventory, loads=loads))
    here.pass_time(1900.0)

    video = [one for one in here.runs.values() if one.series.check == "video"]
    assert 3 == len(video)
    assert 30 == len({one.series.agent for one in here.runs.values()})


def test_a_new_inventory_keeps_what_was_given_and_what_waits():
    """Slots that were told go on, who waits keeps the place, who is new joins."""
    small, large = with_sites(10, ALWAYS_DUE), with_sites(12, ALWAYS_DUE)
    here = Simulated(small).past_the_start()
    here.pass_time(60.0)
    before = [one.id for one in here.table.given]
    assert before

    here.inventory = large
    here.table.reload(large, here.now)
    assert before == [one.id for one in here.table.given]
    here.pass_time(120.0)
    assert 12 == len({one.series.agent for one in here.runs.values()})

    here.inventory = with_sites(1, ALWAYS_DUE)
    here.table.reload(here.inventory, here.now)
    assert [] == here.table.told_to("00005", here.now)
    here.pass_time(60.0)
    assert {"00000"} == {one.series.agent for one in here.table.given}


def test_a_clock_that_is_set_moves_the_table_with_it():
    """Neither an hour's silence nor a double load when the machine's clock jumps back."""
    here = Simulated(with_sites(20, ALWAYS_DUE)).past_the_start()
    here.pass_time(100.0)
    before = bits(here.table.active(here.now)["bridge"])
    assert before > 0

    here.now -= 3600.0
    here.table.shift(-3600.0)
    assert before == bits(here.table.active(here.now)["bridge"])
    here.runs.clear()
    here.pass_time(60.0)
    assert len(here.runs) >= 12


def test_sessions_are_not_shared_while_alive():
    """Numbers are 1 to 65535 and go round; one in use is passed over."""
    here = Simulated(with_sites(148, {"s": (a_load("opus", 30.0), 60.0)})).past_the_start()
    here.table._session = 65_500
    taken = []

    def look():
        alive = [one.session for one in here.table.given]
        assert len(alive) == len(set(alive))
        assert all(1 <= session <= 65_535 for session in alive)
        taken.extend(alive)

    here.pass_time(100.0, each=look)
    assert max(taken) > 65_500
    assert min(taken) < 200


def test_148_sites_cost_microseconds_a_push():
    """An answer looks up one agent; a tick looks at who is due."""
    inventory = with_sites(148, {**VIDEO, "sound": (a_load("g711", 20.0), 900.0)})
    here = Simulated(inventory).past_the_start()
    live = here.live()
    begun = time.perf_counter()
    for _ in range(100):
        for agent in live:
            here.table.told_to(agent, here.now)
    a_push = (time.perf_counter() - begun) / (100 * len(live))
    begun = time.perf_counter()
    for _ in range(400):
        here.table.tick(here.now, live)
        here.now += 0.25
    a_tick = (time.perf_counter() - begun) / 400

    print(f"push {a_push * 1e6:.2f} µs, tick {a_tick * 1e6:.0f} µs")
    assert a_push < 20e-6
    assert a_tick < 2e-3


STREAM_CHOICES = st.sampled_from(["opus", "g711", "720p", "1080p"])


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 14),
    two_agents=st.sets(st.integers(0, 13), max_size=4),
    checks=st.lists(
        st.tuples(STREAM_CHOICES, st.sampled_from([10.0, 20.0, 30.0]), st.integers(60, 600)),
        min_size=1,
        max_size=3,
    ),
    mbit_s=st.floats(4.2, 40.0),
    away=st.sets(st.integers(0, 13), max_size=5),
    reload_at=st.integers(1, 400),
)
def test_laws_of_the_table(**drawn):
    """At every moment: no trunk beyond its share, one run a site; each who is heard has turns."""
    count, checks, mbit_s = drawn["count"], drawn["checks"], drawn["mbit_s"]
    offered = {
        f"c{number}": (a_load(stream, seconds), float(interval))
        for number, (stream, seconds, interval) in enumerate(checks)
    }
    inventory = with_sites(count, offered, mbit_s=mbit_s, share=1.0, two_agents=drawn["two_agents"])
    here = Simulated(inventory)
    gone = {agent for agent in inventory.site_of_agent if int(agent[:5]) in drawn["away"]}
    here.live = lambda: set(inventory.site_of_agent) - gone
    budget = mbit_s * 1e6

    def look():
        if round(here.now - NOON) == drawn["reload_at"]:
            here.table.reload(inventory, here.now)

    length = 4.0 * max(interval for _, interval in offered.values())
    here.pass_time(length, step=1.0, each=look)

    runs = sorted(here.runs.values(), key=lambda one: one.begins)
    for one in runs:  # load only grows where a run begins
        together = [other for other in runs if other.begins <= one.begins < other.ends]
        assert bits(together) <= budget + 1.0
        sites = [other.site for other in together]
        assert len(sites) == len(set(sites))
        assert one.series.agent not in gone

    # A round of everything, as if nothing ever fitted beside anything: who is due waits no longer.
    heard = [series for series in inventory.loads if series.agent not in gone]
    whole_round = sum(inventory.loads[series].seconds + 6.0 for series in heard)
    demand = sum(
        (inventory.loads[series].seconds + 6.0) / inventory.interval_of[series] for series in heard
    )
    if demand < 0.9:
        for series in heard:
            begins = [one.begins for one in runs if one.series == series]
            moments = [NOON + 35.0, *begins, NOON + length]
            longest = max(later - earlier for earlier, later in pairwise(moments))
            assert longest <= inventory.interval_of[series] + whole_round + 10.0


def test_no_run_is_given_twice_within_half_its_interval():
    """However late a turn came, the next one is not right behind it."""
    freeze = (NOON + 100.0, NOON + 1000.0, "none")
    here = Simulated(with_sites(30, {"video": (a_load("720p", 30.0), 600.0)}, phases=[freeze]))
    here.pass_time(3000.0)
    for series in here.inventory.loads:
        begins = sorted(one.begins for one in here.runs.values() if one.series == series)
        assert all(later - earlier >= 300.0 for earlier, later in pairwise(begins))
        assert len(begins) >= 3
    assert Series("00000", "video", TARGET, "") in here.inventory.loads
