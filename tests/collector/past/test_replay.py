"""What was found of a day is found again from what is on disk of it."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.wire import Batch, LineState, PowerState
from collector.database import open_reader
from collector.diagnosis.incidents import Incidents
from collector.ingest.entries import NewEntry
from collector.past.record import Record, read_heard
from collector.past.replay import TICK_SECONDS, replay
from collector.state.fleet import Fleet
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province, a_push
from tests.collector.state.fleets import DOWN, UP, an_attempt

WHOLE = a_province()
AGENTS = (TCOC, TCOC_TTPV, YPHU, DC)
SECONDS = 90
SPANS = st.tuples(st.integers(3, SECONDS - 10), st.integers(1, 40))
ABSENCES = st.lists(st.tuples(st.sampled_from(AGENTS), SPANS, st.booleans()), max_size=4)
FAULTS = st.lists(st.tuples(st.sampled_from(list(WHOLE.subjects)), SPANS), max_size=4)


def within(span, second):
    """Whether a second lies in a span."""
    begin, length = span
    return begin <= second < begin + length


class Day:
    """A collector without its network, on a day that is put together beforehand."""

    def __init__(self, folder: Path) -> None:
        self.record = Record(folder / "record.sqlite")
        self.entries: list[NewEntry] = []
        self.fleet = Fleet(WHOLE, started_at=NOON)
        self.incidents = Incidents()
        self.found = []

    def live(self, absences, faults, pardon_at) -> None:
        """Live it, each quarter of a second; agents measure and push each second."""
        for tick in range(int(SECONDS / TICK_SECONDS) + 1):
            now = NOON + tick * TICK_SECONDS
            second = tick * TICK_SECONDS
            if second == pardon_at:
                self.fleet.pardon(now)
                self.record.pardon(now)
            if tick and second == int(second):
                for agent in AGENTS:
                    self._second(agent, int(second), now, absences, faults)
            self.fleet.tick(now)
            self.record.look(self.fleet, now)
            self.found += seen(self.incidents.observe(self.fleet, now))
            self.record.save()

    def _second(self, agent, second, now, absences, faults) -> None:
        spans = [(span, bye) for one, span, bye in absences if one == agent]
        away = [bye for span, bye in spans if within(span, second)]
        if away:
            if True in away and not any(within(span, second - 1) for span, _ in spans):
                self.fleet.heard(agent, a_push(agent, bye="shutdown"), now)
            return
        boots = sum(bye and span[0] < second for span, bye in spans)
        power = PowerState(on_mains=second < 60)
        lines = {"vnpt": LineState(last_success_ms=second, failing="timeout" * (second > 30))}
        push = a_push(agent, boot="abcdef"[boots], power=power, lines=lines)
        self.fleet.heard(agent, push, now, "203.0.113.7")
        samples = [
            an_attempt(
                series,
                DOWN if any(one == series and within(s, second) for one, s in faults) else UP,
            )
            for series in WHOLE.series_of_agent[agent]
        ]
        batch = Batch(
            v=1,
            agent=agent,
            boot=push.boot,
            machine_boot=push.machine_boot,
            seq=second,
            sealed=push.sent,
            synchronised=True,
            config=0,
            program="",
            samples=samples,
        )
        entry = NewEntry(
            agent=agent,
            boot=push.boot,
            seq=second,
            batch=batch,
            body=msgspec.json.encode(batch),
            times=[now] * len(samples),
            trusted=True,
            quarantined=[],
            received_at=now,
        )
        self.entries.append(entry)
        for sample in samples:
            self.fleet.apply(agent, sample, now, trusted=True, now=now)


def seen(changes):
    """Return what people would be told of changes."""
    return [(one.kind, *told(one.incident)) for one in changes if one.kind != "changed"]


def told(incident):
    """Return what is told of an incident."""
    what = (incident.id, incident.cause, incident.key, incident.sites, incident.check)
    return (*what, incident.since, incident.opened_at, incident.closed_at)


@given(ABSENCES, FAULTS, st.sampled_from([None, 20.0, 41.5]))
@settings(max_examples=40, phases=[Phase.generate])
def test_what_was_found_is_found_again(absences, faults, pardon_at):
    """The same incidents, with the same ids, sites and times, opened and closed in the same order."""
    with TemporaryDirectory() as name:
        day = Day(Path(name))
        day.live(absences, faults, pardon_at)
        day.record.close()
        with closing(open_reader(Path(name) / "record.sqlite")) as database:
            heard = list(read_heard(database, NOON, NOON + SECONDS + 1))
        again, found = Incidents(), []
        for fleet, now in replay(WHOLE, heard, day.entries, NOON, NOON + SECONDS):
            found += seen(again.observe(fleet, now))
        assert found == day.found


def test_a_day_without_a_change_is_one_line_an_agent(tmp_path):
    """What agents say again and again is written down once."""
    day = Day(tmp_path)
    day.live([], [], None)
    day.record.close()
    with closing(open_reader(tmp_path / "record.sqlite")) as database:
        heard = list(read_heard(database, NOON, NOON + 25))
    assert [one.agent for one in heard] == list(AGENTS)


def test_what_held_at_the_beginning_is_told(tmp_path):
    """Whoever begins in the middle of a day knows who was silent, and what was said last."""
    day = Day(tmp_path)
    day.live([(YPHU, (40, 40), False)], [], None)
    day.record.close()
    with closing(open_reader(tmp_path / "record.sqlite")) as database:
        heard = list(read_heard(database, NOON + 70, NOON + 71))
        day.entries = [one for one in day.entries if one.received_at >= NOON + 60]
    last = {one.agent: one for one in heard}
    assert {agent: one.contact for agent, one in last.items()} == {
        TCOC: "live", TCOC_TTPV: "live", YPHU: "silent", DC: "live",
    }  # fmt: skip
    assert last[YPHU].heard_at == NOON + 39
    assert (last[YPHU].words.lines, last[DC].words.power) == (
        {"vnpt": "timeout"},
        PowerState(on_mains=False),
    )
    fleet, _ = next(replay(WHOLE, heard, day.entries, NOON + 70, NOON + 71))
    assert fleet.silent == {YPHU}
    assert fleet.sites[YPHU].last_seen == NOON + 39


def test_the_last_word_of_an_agent_outlives_its_age(tmp_path):
    """What is older than what is kept goes, but not what still holds."""
    day = Day(tmp_path)
    day.live([(YPHU, (40, 40), False)], [], None)
    day.record.remove(NOON + 80)
    day.record.close()
    with closing(open_reader(tmp_path / "record.sqlite")) as database:
        heard = list(read_heard(database, NOON, NOON + 100))
    assert sorted(one.agent for one in heard) == sorted([*AGENTS, YPHU])
    assert [one.contact for one in heard if one.agent == YPHU] == ["silent", "live"]
