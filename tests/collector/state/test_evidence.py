"""Evidence and the live state: what was seen at a failing edge is no further attempt."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from agent.wire import EVIDENCE
from collector.state.fleet import Fleet
from tests.collector.a_province import NOON, YPHU, a_province, a_sample, gateway
from tests.collector.state.fleets import a_fleet, an_attempt

GATEWAY = gateway(YPHU)


def everything(fleet: Fleet) -> tuple[object, ...]:
    """Return all that a fleet shows."""
    return (
        [asdict(state) for state in fleet.series.values()],
        [asdict(state) for state in fleet.agents.values()],
        [asdict(state) for state in fleet.sites.values()],
        set(fleet.down),
        fleet.unknown_series,
    )


@given(st.text("udeE", max_size=30), st.integers(-5, 15), st.sampled_from(["timeout", None]))
def test_evidence_changes_nothing(steps, shift, failure):
    """Wherever evidence falls among attempts (E), with or without it all is the same, at all times."""
    inventory = a_province()
    with_it, without = a_fleet(inventory), a_fleet(inventory)
    evidence = a_sample(GATEWAY, failure, kind=EVIDENCE, facts={"path": "icmp 192.168.1.1"})
    for number, step in enumerate(steps):
        now = NOON + number
        if step == "E":
            with_it.apply(YPHU, evidence, now + shift, trusted=True, now=now)
        else:
            for fleet in (with_it, without):
                fleet.apply(YPHU, an_attempt(GATEWAY, step), now, trusted=True, now=now)
        assert everything(with_it) == everything(without)
    assert with_it.tick(NOON + 40) == without.tick(NOON + 40)
    assert everything(with_it) == everything(without)
