"""Properties of whole lives: whatever happens, what was opened is closed once."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.diagnosis.incident import Change, Incident
from collector.diagnosis.incidents import Incidents
from collector.diagnosis.store import Store
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province, a_push
from tests.collector.state.fleets import DOWN, ERROR, UP, an_attempt

WHOLE = a_province()
SERIES = [series for series in WHOLE.subjects if series.check in {"gateway", "web", "internet"}]
AGENTS = list(WHOLE.site_of_agent)
HAPPENINGS = st.one_of(
    st.tuples(
        st.just("attempt"),
        st.sampled_from(SERIES),
        st.sampled_from([UP, DOWN, DOWN, ERROR]),
    ),
    st.tuples(st.just("late"), st.sampled_from(SERIES), st.sampled_from([UP, DOWN])),
    st.tuples(st.just("push"), st.sampled_from(AGENTS)),
    st.tuples(st.just("bye"), st.sampled_from(AGENTS)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 5.0, 20.0])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("reload"), st.sampled_from([(TCOC, YPHU, DC), (YPHU, DC)])),
)


@dataclass
class Centre:
    """A collector without its network: what it knows, what it keeps, what it told."""

    store: Store
    now: float = NOON
    boots: int = 0
    open: dict[str, Incident] = field(default_factory=dict)
    told: list[Change] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fleet = Fleet(WHOLE, started_at=self.now)
        self.incidents = Incidents()

    def restart(self) -> None:
        """Start again from the disk alone."""
        self.fleet = Fleet(self.fleet.inventory, started_at=self.now)
        for contact in self.store.contacts():
            self.fleet.remember(contact.agent, contact.contact, contact.heard_at)
        self.incidents = Incidents(self.store.open_incidents(), last_id=self.store.last_id())

    def look(self) -> list[Change]:
        """Let a quarter of a second pass; hold what is told against what was told before."""
        self.now += 0.25
        self.fleet.tick(self.now)
        changes = self.incidents.observe(self.fleet, self.now)
        contacts = {name: agent.contact for name, agent in self.fleet.agents.items()}
        if changes or contacts != self.saved:
            self.store.save(changes, self.fleet.agents)
            self.saved = contacts
        for change in changes:
            if change.kind == "opened":
                assert change.incident.id not in {told.incident.id for told in self.told}
                self.open[change.incident.id] = change.incident
            elif change.kind == "changed":
                assert change.incident != self.open[change.incident.id]
                self.open[change.incident.id] = change.incident
            else:
                begun = self.open.pop(change.incident.id)
                assert change.incident.closed_at is not None
                assert change.incident.closed_at >= begun.since
            self.told.append(change)
        keys = [(one.cause, one.key) for one in self.open.values()]
        assert len(keys) == len(set(keys))
        assert self.open == dict(self.incidents.open)
        return changes

    def happen(self, what: str, *words) -> None:
        """Do one thing, then look."""
        getattr(self, f"_{what}")(*words)

    def _attempt(self, series: Series, attempt: str) -> None:
        self.fleet.apply(
            series.agent, an_attempt(series, attempt), self.now, trusted=True, now=self.now
        )
        self.look()

    def _late(self, series: Series, attempt: str) -> None:
        known = self.fleet.series.get(series)
        newest = known.at if known else self.now
        for age in (3600.0, 30.0, 0.0):
            at = min(newest, self.now) - age if newest > 0 else self.now - 901.0
            sample = an_attempt(series, attempt)
            self.fleet.apply(series.agent, sample, at, trusted=True, now=self.now)
        self._nothing_is_told()

    def _push(self, agent: str) -> None:
        self.boots += 1
        self.fleet.heard(agent, a_push(agent, boot=f"{self.boots:032x}"[-1]), self.now)
        self.look()

    def _bye(self, agent: str) -> None:
        self.fleet.heard(agent, a_push(agent, boot="0", bye="shutdown"), self.now)
        self.look()

    def _wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    def _restart(self) -> None:
        self.look()
        self.restart()
        self._nothing_is_told()

    def _reload(self, sites: tuple[str, ...]) -> None:
        self.fleet.reload(a_province(sites), self.now)
        self.look()

    def _nothing_is_told(self) -> None:
        """Look without letting time pass: time alone may open a silence."""
        self.now -= 0.25
        assert self.look() == []


@given(st.lists(HAPPENINGS, max_size=60))
@settings(max_examples=100, deadline=None)
def test_every_open_has_exactly_one_close(happenings):
    """Through restarts, reloads, silence and replay; and when all is well nothing is left open."""
    with TemporaryDirectory() as folder:
        centre = Centre(Store(Path(folder) / "state.sqlite"))
        for happening in happenings:
            centre.happen(*happening)

        for series in WHOLE.subjects:
            for _ in range(2):
                for agent in AGENTS:
                    centre.fleet.heard(agent, a_push(agent, boot="f"), centre.now)
                centre.happen("attempt", series, UP)

        for _ in range(50):  # longer than what comes and goes has to be good
            centre.now += 2.0
            for agent in AGENTS:
                centre.fleet.heard(agent, a_push(agent, boot="f"), centre.now)
            centre.look()

        assert centre.open == {}
        opened = [told.incident.id for told in centre.told if told.kind == "opened"]
        closed = [told.incident.id for told in centre.told if told.kind == "closed"]
        assert sorted(opened) == sorted(closed)
        assert len(set(closed)) == len(closed)
        assert {one.id for one in centre.store.closed_since(0.0)} == set(closed)
        centre.store.close()
