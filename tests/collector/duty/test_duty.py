import sqlite3

import pytest
from msgspec.structs import replace

from collector.duty.acts import ActError
from collector.duty.duty import Duty
from collector.duty.escalation import Escalation
from collector.duty.store import ActStore
from collector.inventory.model import Text, Window
from tests.collector.a_province import NOON, TCOC, YPHU
from tests.collector.duty.incidents import ID, an_act, an_incident, with_routes

HERE = with_routes()
OTHER = "phu-tho-250701-002"


def in_maintenance(until: float, *sites: str):
    """Return the province with work at some sites from before noon, to some seconds after it."""
    from datetime import UTC, datetime

    window = Window(
        id="w",
        name=Text(vi="Thay tủ mạng", en="New rack"),
        begins=datetime.fromtimestamp(NOON - 600, UTC),
        ends=datetime.fromtimestamp(NOON + until, UTC),
        sites=sites,
    )
    return replace(HERE, maintenance=(window,))


@pytest.fixture
def store(tmp_path):
    """Return a store of its own."""
    made = ActStore(tmp_path / "state.sqlite")
    yield made
    made.close()


async def test_nobody_says_yes_and_the_next_is_called_once_a_tier(store):
    """Told once each, kept over a restart, never counted from zero again."""
    incident = an_incident()
    open_ = {ID: incident}
    duty = Duty(store)
    told = [after for after in range(0, 400, 1) if duty.look(open_, HERE, NOON + after)]
    assert told == [60, 180]
    assert duty.escalations == {ID: Escalation(2, "head", NOON + 180)}
    assert duty.called == {ID: ("duty", "head")}
    await duty.save()

    again = Duty(store, [incident])

    assert again.escalations == duty.escalations
    assert not again.look(open_, HERE, NOON + 9999)


async def test_an_acknowledgement_ends_the_raising_and_lowers_nothing(store):
    """The tier stays until the incident is over; taking back lets the wait begin anew."""
    open_ = {ID: an_incident()}
    duty = Duty(store)
    duty.look(open_, HERE, NOON)
    assert duty.look(open_, HERE, NOON + 60)
    await duty.do(an_act("acknowledged", 70), open_[ID])
    assert not duty.look(open_, HERE, NOON + 5000)
    assert duty.escalations == {ID: Escalation(1, "duty", NOON + 60)}
    assert [act.who for act in duty.acknowledged.values()] == ["Hùng"]
    await duty.do(an_act("taken_back", 5000), open_[ID])
    assert (duty.acknowledged, duty.standing(ID).holder) == ({}, "")
    assert not duty.look(open_, HERE, NOON + 5119)
    assert duty.look(open_, HERE, NOON + 5120)
    duty.look({}, HERE, NOON + 6000)
    assert (duty.escalations, duty.of(ID)) == ({}, ())


async def test_what_begins_in_maintenance_is_a_ticket_until_the_work_is_over(store):
    """Judged before anybody is told; after the window's end it is a page, and stays one."""
    open_ = {ID: an_incident()}
    here = in_maintenance(600, YPHU)
    duty = Duty(store)
    assert duty.look(open_, here, NOON)
    (shown,) = duty.shown(open_.values())
    assert (shown.severity, shown.facts) == ("ticket", {"maintenance": "Thay tủ mạng"})
    assert not duty.look(open_, here, NOON + 599)
    await duty.save()

    duty = Duty(store, open_.values())
    assert duty.shown(open_.values())[0].severity == "ticket"
    assert duty.look(open_, here, NOON + 601)
    assert duty.shown(open_.values()) == [open_[ID]]
    assert not duty.look(open_, in_maintenance(9999, YPHU), NOON + 605)
    assert duty.shown(open_.values()) == [open_[ID]]
    assert [act.kind for act in duty.of(ID)] == ["maintenance", "maintenance_over"]
    assert duty.look(open_, here, NOON + 661)
    assert duty.escalations == {ID: Escalation(1, "duty", NOON + 661)}


async def test_a_page_that_went_out_before_the_work_began_stays_a_page(store):
    """Else its receiver would hear that it is over."""
    open_ = {ID: an_incident()}
    duty = Duty(store)
    duty.look(open_, HERE, NOON)

    assert not duty.look(open_, in_maintenance(600, YPHU), NOON + 5)
    assert duty.shown(open_.values()) == [open_[ID]]
    again = Duty(store, open_.values())  # as after a restart within the window
    assert not again.look(open_, in_maintenance(600, YPHU), NOON + 6)


async def test_what_grows_beyond_the_work_is_paged(store):
    """One place more than planned, and people are called; shrinking back takes nothing back."""
    small = an_incident()
    grown = replace(small, sites=(YPHU, TCOC))
    here = in_maintenance(600, YPHU)
    duty = Duty(store)
    duty.look({ID: small}, here, NOON)

    assert duty.look({ID: grown}, here, NOON + 2)
    assert not duty.look({ID: small}, here, NOON + 4)
    assert duty.shown([small]) == [small]


async def test_a_shift_hands_over_all_it_holds(store):
    """Only theirs, by the name as people mean it, in one act each; who holds nothing is told."""
    open_ = {ID: an_incident(), OTHER: an_incident(OTHER), "x-1-003": an_incident("x-1-003")}
    duty = Duty(store)
    duty.look(open_, HERE, NOON)
    await duty.do(an_act("acknowledged", 1, "Hùng"), open_[ID])
    await duty.do(an_act("assigned", 2, "Lan", to="hùng", incident=OTHER), open_[OTHER])
    wish = an_act("handed_over", 9, "Hùng", to="Minh", text="ca tối", incident="")

    assert await duty.hand_over(wish, open_.values()) == 2

    assert [duty.standing(one).holder for one in open_] == ["Minh", "Minh", ""]
    assert store.of(OTHER)[-1] == replace(wish, incident=OTHER)
    for bad, word in (
        (wish, "holds_none"),
        (replace(wish, to="HÙNG"), "no_receiver"),
        (replace(wish, who=""), "no_name"),
    ):
        with pytest.raises(ActError) as caught:
            await duty.hand_over(bad, open_.values())
        assert caught.value.word == word


async def test_what_the_disk_refuses_was_not_done(store, tmp_path):
    """A person is told so; what the centre itself has to do counts, and is written later."""
    open_ = {ID: an_incident()}
    duty = Duty(store)
    duty.look(open_, HERE, NOON)
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):
        await duty.do(an_act("acknowledged", 1), open_[ID])
    assert duty.acknowledged == {}
    duty.look(open_, HERE, NOON + 60)
    await duty.save()
    assert duty.escalations[ID].tier == 1
    assert store.of(ID) == []

    store._database.execute("PRAGMA query_only = OFF")
    await duty.save()

    assert [act.kind for act in store.of(ID)] == ["escalated"]


async def test_a_closed_incident_takes_notes_only(store):
    """What was learnt afterwards is written beside what was done."""
    duty = Duty(store)
    closed = an_incident(closed_at=NOON + 60)

    await duty.do(an_act("noted", 90, text="chuột cắn cáp"), closed)
    with pytest.raises(ActError):
        await duty.do(an_act("acknowledged", 91), closed)

    assert [act.text for act in store.of(ID)] == ["chuột cắn cáp"]
