import sqlite3

import pytest

from collector.diagnosis.incident import Change
from collector.diagnosis.store import Store
from collector.duty.store import ActStore, read_incident, read_recent
from tests.collector.a_province import NOON
from tests.collector.duty.incidents import ID, an_act, an_incident

TAKEN, NOTE = an_act("acknowledged", 1), an_act("noted", 2, text="VNPT báo đứt cáp")


def test_acts_are_there_after_a_restart_in_their_order(tmp_path):
    """Each as it was written, of its own incident only."""
    path = tmp_path / "state.sqlite"
    store = ActStore(path)
    store.add([TAKEN, an_act("noted", 1, text="khác", incident="phu-tho-250701-002")])
    store.add([NOTE])
    store.close()

    store = ActStore(path)

    assert store.of(ID) == [TAKEN, NOTE]
    assert store.of("phu-tho-250701-009") == []
    store.close()


@pytest.mark.parametrize("statement", ["DELETE FROM acts", "UPDATE acts SET body = x'00'"])
def test_nobody_rewrites_what_was_done(tmp_path, statement):
    """The file itself refuses to change or to forget an act."""
    path = tmp_path / "state.sqlite"
    store = ActStore(path)
    store.add([TAKEN])
    store.close()

    with sqlite3.connect(path) as other, pytest.raises(sqlite3.Error) as caught:
        other.execute(statement)
    other.close()

    assert str(caught.value) == "acts are only added"


def test_closed_incidents_are_read_with_their_acts(tmp_path):
    """The latest first, open ones left out; one by its id, open or closed; none of another."""
    path = tmp_path / "state.sqlite"
    first = an_incident(closed_at=NOON + 60)
    second = an_incident("phu-tho-250701-002", closed_at=NOON + 90)
    third = an_incident("phu-tho-250701-003")
    incidents, acts = Store(path), ActStore(path)
    incidents.save([Change("closed", first), Change("closed", second), Change("opened", third)], {})
    acts.add([TAKEN, NOTE])
    incidents.close()
    acts.close()

    assert read_recent(path, 10) == [(second, []), (first, [TAKEN, NOTE])]
    assert read_recent(path, 1) == [(second, [])]
    assert read_incident(path, ID) == (first, [TAKEN, NOTE])
    assert read_incident(path, third.id) == (third, [])
    assert read_incident(path, "phu-tho-250701-004") == (None, [])
