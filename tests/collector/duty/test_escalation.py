import pytest
from msgspec.structs import replace

from collector.duty.escalation import Escalation, due, escalation_of, first_route
from tests.collector.a_province import NOON, TCOC
from tests.collector.duty.incidents import an_act, an_incident, with_routes

RAISED = an_act("escalated", 60, "", to="duty", tier=1)


@pytest.mark.parametrize(
    ("acts", "after", "tier", "to"),
    [
        ([], 59.9, None, ""),
        ([], 60, 1, "duty"),
        ([], 9999, 1, "duty"),  # after a long absence one tier at a time
        ([RAISED], 179, None, ""),
        ([RAISED], 180, 2, "head"),
        ([RAISED, an_act("escalated", 180, "", to="head", tier=2)], 9999, None, ""),
        ([an_act("acknowledged", 10)], 9999, None, ""),
        ([RAISED, an_act("acknowledged", 70)], 9999, None, ""),
        ([an_act("acknowledged", 10), an_act("taken_back", 30)], 89, None, ""),
        ([an_act("acknowledged", 10), an_act("taken_back", 30)], 90, 1, "duty"),
        ([RAISED, an_act("acknowledged", 70), an_act("taken_back", 100)], 220, 2, "head"),
        ([an_act("assigned", 10, to="Lan")], 60, 1, "duty"),  # nobody has said yes yet
        ([an_act("noted", 50, text="x")], 60, 1, "duty"),
        ([an_act("maintenance", 0, "", to="w")], 9999, None, ""),
        (
            [an_act("maintenance", 0, "", to="w"), an_act("maintenance_over", 500, "")],
            560,
            1,
            "duty",
        ),
    ],
)
def test_a_tier_is_raised_when_nobody_says_yes_in_time(acts, after, tier, to):
    """By the seconds of the route reached, counted anew from what began the wait."""
    act = due(an_incident(), acts, with_routes(), NOON + after)

    if tier is None:
        assert act is None
    else:
        assert act == an_act("escalated", after, "", tier=tier, to=to)


def test_tickets_are_never_raised():
    """Nobody was called, so nobody failed to answer."""
    assert due(an_incident(severity="ticket"), [], with_routes(), NOON + 9999) is None


def test_a_route_that_left_the_file_raises_nothing_and_lowers_nothing():
    """What was raised stays raised."""
    here = replace(with_routes(), on_call={})

    assert due(an_incident(), [RAISED], here, NOON + 9999) is None
    assert escalation_of([RAISED]) == Escalation(1, "duty", NOON + 60)
    assert escalation_of([]) is None


@pytest.mark.parametrize(
    ("said", "route"),
    [
        ({}, "commune"),
        ({"carrier": "vnpt"}, "duty"),
        ({"carrier": "viettel"}, "commune"),  # it has no route of its own
        ({"system": ""}, "commune"),  # the check's system
        ({"cause": "site_silent", "system": "", "check": ""}, "commune"),
        ({"cause": "mass_silence", "system": "", "check": "", "sites": (TCOC,)}, "commune"),
        ({"system": "tthc", "check": ""}, "commune"),
    ],
)
def test_an_incident_begins_with_the_route_of_what_it_is_about(said, route):
    """Carrier before system; where none has one, the first that goes on to another."""
    assert first_route(an_incident(**said), with_routes()) == route
    assert first_route(an_incident(**said), replace(with_routes(), on_call={})) in {route, ""}
