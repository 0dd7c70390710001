import pytest

from collector.duty.acts import ActError, check_act, cleaned, same_person, standing_of
from tests.collector.a_province import NOON
from tests.collector.duty.incidents import an_act

TAKEN = an_act("acknowledged", 1)
BACK = an_act("taken_back", 9)


@pytest.mark.parametrize(
    ("acts", "acknowledged", "holder"),
    [
        ([], None, ""),
        ([TAKEN], TAKEN, "Hùng"),
        ([TAKEN, BACK], None, ""),
        ([TAKEN, an_act("noted", 2, text="x")], TAKEN, "Hùng"),
        ([an_act("assigned", 1, to="Lan")], None, "Lan"),
        ([TAKEN, an_act("assigned", 2, to="Lan")], TAKEN, "Lan"),
        ([TAKEN, an_act("handed_over", 2, to="Minh")], TAKEN, "Minh"),
        ([TAKEN, an_act("acknowledged", 3, "Lan")], an_act("acknowledged", 3, "Lan"), "Lan"),
        ([TAKEN, an_act("escalated", 2, "", to="duty", tier=1)], TAKEN, "Hùng"),
    ],
)
def test_acts_say_who_is_on_it(acts, acknowledged, holder):
    """Assigning somebody is no acknowledgement of theirs; taking back leaves nobody."""
    standing = standing_of(acts)

    assert (standing.acknowledged, standing.holder) == (acknowledged, holder)


@pytest.mark.parametrize(
    ("act", "before", "said", "word"),
    [
        (an_act("acknowledged", 5, ""), [], {}, "no_name"),
        (an_act("acknowledged", 5), [], {"closed": True}, "closed"),
        (an_act("noted", 5), [], {}, "no_text"),
        (an_act("assigned", 5), [], {}, "no_receiver"),
        (an_act("taken_back", 5), [], {}, "not_acknowledged"),
        (an_act("acknowledged", 5, "Lan"), [TAKEN], {"holder": ""}, "meanwhile"),
        (an_act("acknowledged", 5, "Lan"), [TAKEN], {"holder": "hùng"}, None),
        (an_act("noted", 5, text="x"), [], {"closed": True, "holder": "Lan"}, None),
        (an_act("taken_back", 5), [TAKEN], {}, None),
    ],
)
def test_what_makes_no_sense_is_refused(act, before, said, word):
    """A closed incident takes notes only; nobody takes over from one who was never shown to them."""
    if word is None:
        check_act(act, before, **{"closed": False} | said)
        return
    with pytest.raises(ActError) as caught:
        check_act(act, before, **{"closed": False} | said)
    assert caught.value.word == word


def test_names_are_compared_as_people_mean_them():
    """Small letters, other composition, more spaces: one person; another tone: another."""
    assert same_person("Nguyễn Văn Hùng", " nguyễn  văn HÙNG ")
    assert same_person("Hùng", "Hu\u0300ng")
    assert not same_person("Hùng", "Hưng")


def test_what_was_typed_is_one_line_of_letters():
    """Composed, without control and invisible signs, cut to its length."""
    assert cleaned("  Hu\u0300ng\r\n\tVăn\u202e \x00", 60) == "Hùng Văn"
    assert cleaned("dài " * 40, 10) == "dài dài dà"


def test_the_wait_begins_anew_with_what_ends_an_acknowledgement():
    """Take-back, raise and the end of maintenance; a note does not."""
    for kind in ("taken_back", "escalated", "maintenance_over"):
        assert standing_of([an_act(kind, 7, to="duty")]).waiting_since == NOON + 7
    assert standing_of([an_act("noted", 7, text="x")]).waiting_since is None
