import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.wire import PowerState, Push, SpoolState
from collector.diagnosis.incidents import Incidents
from collector.export.exposition import SHARED_SECONDS, Exposition
from collector.export.own import Own
from collector.inventory.model import Series
from tests.collector.a_province import (
    NOON,
    TCOC,
    YPHU,
    a_province,
    a_push,
    gateway,
)
from tests.collector.export.pages import measure, named, promtool_says, samples, shape
from tests.collector.state.fleets import a_fleet, decided, feed

GATEWAY = gateway(YPHU)
HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


async def test_measurements_carry_the_fields_own_names():
    """Labels are inventory words; instance is the target; what was not measured is absent."""
    fleet = a_fleet()
    measure(
        fleet,
        HTTP,
        duration=0.05,
        phases={"resolve": 0.001, "tls": 0.02},
        values={"http_status_code": 200, "ip_protocol": 4},
        counters={"all_success_count": 3, "all_success_sum": 2, "all_duration_seconds_sum": 0.15},
    )
    page = await Exposition(fleet).full(NOON)
    row = 'instance="https://tthc.example/",site="05305",agent="05305",check="tthc"'

    assert named(page, "probe_") == [
        f"probe_success{{{row}}} 1",
        f"probe_duration_seconds{{{row}}} 0.05",
        f"probe_all_success_count{{{row}}} 3",
        f"probe_all_success_sum{{{row}}} 2",
        f"probe_all_duration_seconds_count{{{row}}} 3",
        f"probe_all_duration_seconds_sum{{{row}}} 0.15",
        f"probe_ip_protocol{{{row}}} 4",
        f'probe_http_duration_seconds{{{row},phase="resolve"}} 0.001',
        f'probe_http_duration_seconds{{{row},phase="tls"}} 0.02',
        f"probe_http_status_code{{{row}}} 200",
    ]


async def test_numbers_without_a_row_are_dropped_and_counted():
    """A later agent may send more than this collector knows: a value, a phase, a whole kind."""
    fleet = a_fleet()
    exposition = Exposition(fleet)
    measure(
        fleet,
        HTTP,
        phases={"teleport": 1.0},
        values={"http_mood": 1.0},
        counters={"http_moods_total": 1.0},
    )
    measure(fleet, GATEWAY, kind="telepathy", phases={"rtt": 1.0}, values={"ip_protocol": 4})

    page = await exposition.full(NOON)

    assert named(page, "thongsuot_dropped_values") == ["thongsuot_dropped_values 5"]
    assert len(named(page, "probe_")) == 4
    assert len(named(page, "probe_success")) == 2


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(
            lambda fleet: measure(fleet, GATEWAY, NOON + 1, error="no permission"), id="error"
        ),
        pytest.param(lambda fleet: fleet.tick(NOON + 10.5), id="stale"),
        pytest.param(lambda fleet: fleet.reload(a_province([TCOC]), NOON + 1), id="removed"),
    ],
)
async def test_what_is_not_known_now_leaves_the_page(then):
    """No old value is passed off as a new one."""
    fleet = a_fleet()
    exposition = Exposition(fleet)
    measure(fleet, GATEWAY)
    assert len(named(await exposition.full(NOON), "probe_success")) == 1

    then(fleet)

    page = await exposition.full(NOON + SHARED_SECONDS)
    assert named(page, "probe_") == []


async def test_a_lone_failure_leaves_too():
    """One failing attempt confirms nothing, is shown while it is fresh, and goes like any other."""
    fleet = a_fleet()
    exposition = Exposition(fleet)
    measure(fleet, GATEWAY, failure="timeout")
    assert len(named(await exposition.full(NOON), "probe_success")) == 1

    fleet.tick(NOON + 10.5)

    assert named(await exposition.full(NOON + 11), "probe_") == []


async def test_an_agent_says_how_it_is_while_it_is_heard():
    """Spool, clock and power of a silent PC are not passed off as today's."""
    fleet = a_fleet(a_province([YPHU]))
    exposition = Exposition(fleet)
    fleet.heard(YPHU, a_full_push(YPHU), NOON, "203.0.113.9")
    row = 'site="05305",agent="05305"'

    page = await exposition.full(NOON)
    assert [
        line
        for prefix in ("agent", "clock", "spool", "power")
        for line in named(page, f"thongsuot_{prefix}_")
    ] == [
        f'thongsuot_agent_info{{{row},carrier="vnpt"}} 1',
        f"thongsuot_agent_up{{{row}}} 1",
        f"thongsuot_agent_last_seen_timestamp_seconds{{{row}}} {NOON}",
        f"thongsuot_agent_cloned{{{row}}} 0",
        f"thongsuot_agent_config_version{{{row}}} 7",
        f"thongsuot_agent_config_refused{{{row}}} 0",
        f"thongsuot_clock_synchronised{{{row}}} 1",
        f"thongsuot_clock_offset_seconds{{{row}}} 2.0",
        f"thongsuot_clock_error_seconds{{{row}}} 0.01",
        f"thongsuot_spool_pending_batches{{{row}}} 2",
        f"thongsuot_spool_pending_bytes{{{row}}} 99",
        f"thongsuot_spool_oldest_timestamp_seconds{{{row}}} 1.5",
        f"thongsuot_spool_failing{{{row}}} 0",
        f"thongsuot_spool_dropped_batches_total{{{row}}} 0",
        f"thongsuot_spool_damaged_records_total{{{row}}} 0",
        f"thongsuot_spool_set_aside_batches_total{{{row}}} 0",
        f"thongsuot_power_on_mains{{{row}}} 0",
        f"thongsuot_power_battery_ratio{{{row}}} 0.5",
    ]

    fleet.tick(NOON + 5)
    page = await exposition.full(NOON + 5)
    assert [line for line in page.decode().splitlines() if 'agent="05305"' in line] == [
        f"thongsuot_agent_up{{{row}}} 0",
        f"thongsuot_agent_last_seen_timestamp_seconds{{{row}}} {NOON}",
    ]


async def test_names_are_on_their_own_series():
    """Joined in PromQL; a name may change without breaking a series of measurements."""
    page = await Exposition(a_fleet()).full(NOON)

    assert named(page, "thongsuot_site_info")[0] == (
        'thongsuot_site_info{site="05293",name="Thượng Cốc",kind="xã",former_province="Hòa Bình"} 1'
    )
    assert named(page, "thongsuot_line_info")[1] == (
        'thongsuot_line_info{site="05293",line="viettel",carrier="viettel",kind="ftth"} 1'
    )
    assert named(page, "thongsuot_check_info")[0] == (
        'thongsuot_check_info{check="gateway",name="Kiểm tra gateway",system="lan",layer="gateway",'
        'kind="icmp",scope="site",owner="UBND xã"} 1'
    )


async def test_only_what_changed_is_rendered_again():
    """An agent that sent nothing keeps the very bytes of its fragments."""
    fleet = a_fleet()
    exposition = Exposition(fleet)
    measure(fleet, GATEWAY)
    measure(fleet, gateway(TCOC))
    await exposition.full(NOON)
    before = dict(exposition._fragments._lines["probe_success"])

    measure(fleet, GATEWAY, NOON + 1)
    await exposition.full(NOON + SHARED_SECONDS)

    after = exposition._fragments._lines["probe_success"]
    assert before[TCOC] is after[TCOC]
    assert before[YPHU] is not after[YPHU]


async def test_scrapes_of_one_second_share_a_page():
    """Two Prometheis cost one rendering; the next second has a new page."""
    fleet = a_fleet()
    exposition = Exposition(fleet)
    first = await exposition.full(NOON)
    measure(fleet, GATEWAY)

    assert first == await exposition.full(NOON + 0.9)
    assert first == gzip.decompress(await exposition.full_gzip(NOON + 0.9))
    later = await exposition.full(NOON + SHARED_SECONDS)
    assert first != later
    assert later == gzip.decompress(await exposition.full_gzip(NOON + SHARED_SECONDS))


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(WORDS, WORDS, WORDS)
@settings(max_examples=100)
async def test_any_word_of_the_inventory_is_a_label(target, line, name):
    """Quotes, backslashes, new lines and every script come back as they went in."""
    series = Series(YPHU, "gateway", target, line)
    whole = a_province([YPHU])
    inventory = replace(
        whole,
        subjects={series: YPHU},
        series_of_agent={YPHU: (series,)},
        interval_of={series: 1.0},
        sites={YPHU: replace(whole.sites[YPHU], name=name)},
    )
    fleet, incidents = a_fleet(inventory), Incidents()
    exposition = Exposition(fleet)
    fleet.heard(YPHU, a_push(YPHU), NOON)
    feed(fleet, series, "dd")
    decided(incidents, fleet, NOON + 2)
    exposition.show(incidents.open.values())

    found = samples(await exposition.full(NOON + 2))

    instance = (
        ("agent", YPHU),
        ("check", "gateway"),
        ("instance", target),
        ("line", line),
        ("site", YPHU),
    )
    assert found["probe_success", instance] == 0.0
    (site,) = (dict(labels) for metric, labels in found if metric == "thongsuot_site_info")
    assert site["name"] == name
    (where,) = (
        dict(labels)["where"] for metric, labels in found if metric == "thongsuot_incident_info"
    )
    assert where == f"Xã {name}: {target} ({line})"


def a_full_push(agent: str) -> Push:
    """Return a push that says everything a push can say."""
    return a_push(
        agent,
        config=7,
        anchor=NOON - 3.0,
        anchor_error=0.01,
        synchronised=True,
        power=PowerState(on_mains=False, battery_ratio=0.5),
        spool=SpoolState(pending_batches=2, pending_bytes=99, oldest_pending_ms=1500),
    )


def a_busy_exposition() -> Exposition:
    """Return one with something in every part of the page."""
    fleet, incidents = a_fleet(), Incidents()
    for agent in fleet.agents:
        fleet.heard(agent, a_full_push(agent), NOON, "203.0.113.9")
    for series in fleet.inventory.subjects:
        feed(fleet, series, "u" if series.agent == YPHU else "dd")
    decided(incidents, fleet, NOON + 2)
    own = Own()
    own.refused.labels(code="busy").inc()
    exposition = Exposition(fleet, url="https://centre.example", own=own.page)
    exposition.show(incidents.open.values())
    return exposition


async def test_a_page_is_free_of_doubles():
    """Each family in one block, each series once, on both pages, the collector's own among them."""
    exposition = a_busy_exposition()

    live = samples(exposition.live(NOON + 2))
    full = samples(await exposition.full(NOON + 2))

    assert live.keys() <= full.keys()
    assert ("thongsuot_ingest_pushes_total", ()) in full


@pytest.mark.real
async def test_promtool_finds_nothing_to_say():
    """The field's own linter: names, types, help texts, doubles."""
    page = await a_busy_exposition().full(NOON + 2)

    assert await promtool_says(page) == ""


async def test_the_collectors_own_names_are_kept(golden):
    """Rules and dashboards may use what stands in the golden file."""
    lines = shape(await a_busy_exposition().full(NOON + 2), "thongsuot_")

    golden("golden_metrics/collector.txt", "\n".join(lines) + "\n")
