import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Change, Incident, Member
from collector.diagnosis.store import LastContact, Store, note_restore
from collector.state.states import AgentState
from tests.collector.a_province import DC, NOON, TCOC, YPHU, gateway


def an_incident(number: int, closed_at: float | None = None) -> Incident:
    """Return an incident with everything in it."""
    return Incident(
        id=f"phu-tho-250701-{number:03d}",
        cause="check_down",
        scope="site",
        severity="page",
        sites=(YPHU,),
        check="gateway",
        system="lan",
        owner="UBND xã",
        since=NOON + number,
        opened_at=NOON + number + 2,
        closed_at=closed_at,
        ending="recovered" if closed_at else "",
        members=(
            Member(
                series=gateway(YPHU), since=NOON, failure="timeout", detail="x", up_at=closed_at
            ),
        ),
        facts={"05305 power": "mains"},
    )


def test_what_was_saved_is_there_after_a_restart(tmp_path):
    """Open ones in their order, closed ones the latest first, each as it was last saved."""
    path = tmp_path / "state.sqlite"
    first, second, third = an_incident(1), an_incident(2), an_incident(3)
    ended, earlier = an_incident(1, NOON + 60), an_incident(2, NOON + 30)
    store = Store(path)
    store.save([Change("opened", first), Change("opened", second)], {})
    store.save([Change("opened", third), Change("closed", ended), Change("closed", earlier)], {})
    store.close()

    store = Store(path)

    assert store.open_incidents() == [third]
    assert store.last_id() == "phu-tho-250701-003"
    assert store.closed_since(NOON) == [ended, earlier]
    assert store.closed_since(NOON + 31) == [ended]
    assert store.incident("phu-tho-250701-002") == earlier
    assert store.incident("phu-tho-250701-004") is None
    store.close()


def test_an_empty_store_knows_nothing(tmp_path):
    """The first start."""
    store = Store(tmp_path / "new" / "state.sqlite")

    assert (store.open_incidents(), store.last_id(), store.contacts()) == ([], "", [])
    store.close()


def test_contacts_are_those_that_were_heard(tmp_path):
    """One that never reported, or left the inventory, has none; a later save replaces an earlier."""
    store = Store(tmp_path / "state.sqlite")
    heard = AgentState(site=YPHU, since=NOON, contact="live", heard_at=NOON + 1)
    store.save([], {YPHU: heard, DC: replace(heard), TCOC: AgentState(site=TCOC, since=NOON)})
    assert [contact.agent for contact in store.contacts()] == [YPHU, DC]
    heard.contact, heard.heard_at = "silent", NOON + 2

    store.save([], {YPHU: heard})

    assert store.contacts() == [LastContact(YPHU, "silent", NOON + 2)]
    store.close()


def test_a_save_is_whole_or_not_at_all(tmp_path):
    """What the disk refuses half way leaves nothing behind, and the next save works."""
    store = Store(tmp_path / "state.sqlite")
    wrong = AgentState(site=YPHU, since=NOON, contact=None, heard_at=NOON)

    with pytest.raises(sqlite3.IntegrityError):
        store.save([Change("opened", an_incident(1))], {YPHU: wrong})
    assert store.open_incidents() == []

    store.save([Change("opened", an_incident(1))], {})
    assert store.open_incidents() == [an_incident(1)]
    store.close()


def test_a_later_releases_fields_are_ignored(tmp_path):
    """Going back to an earlier release keeps the open incidents."""
    path = tmp_path / "state.sqlite"
    store = Store(path)
    store.save([Change("opened", an_incident(1))], {})
    store.close()
    _edit(path, b'{"id":', b'{"acknowledged_by":"x","id":')

    store = Store(path)

    assert store.open_incidents() == [an_incident(1)]
    store.close()


def _edit(path: Path, before: bytes, after: bytes) -> None:
    database = sqlite3.connect(path)
    (body,) = database.execute("SELECT body FROM incidents").fetchone()
    database.execute("UPDATE incidents SET body = ?", (body.replace(before, after),))
    database.commit()
    database.close()


def test_the_last_restore_is_remembered(tmp_path):
    """The newest of several; none where the file was never put back."""
    path = tmp_path / "state.sqlite"
    store = Store(path)
    assert store.restored_at() is None
    store.close()
    note_restore(path, NOON)
    note_restore(path, NOON + 60)

    store = Store(path)

    assert store.restored_at() == NOON + 60
    store.close()
