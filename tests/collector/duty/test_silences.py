import json

import pytest

from collector.duty.silences import LEASE_SECONDS, Plan, Silence, ours, plan
from tests.collector.a_province import NOON
from tests.collector.duty.incidents import ID, an_act

OTHER = "phu-tho-250701-002"
TAKEN = an_act("acknowledged", 0)


def a_silence(incident: str = ID, by: str = "Hùng", made: float = 0.0, **said) -> Silence:
    """Return one that was made or renewed some seconds after noon."""
    whole = {"id": f"of-{incident}", "incident": incident, "by": by, "starts_at": NOON + made}
    return Silence(**{**whole, "ends_at": NOON + made + LEASE_SECONDS} | said)


@pytest.mark.parametrize(
    ("wanted", "found", "after", "todo"),
    [
        ({}, [], 0, Plan([], [])),
        ({ID: TAKEN}, [], 5, Plan([a_silence(made=5, id="")], [])),
        ({ID: TAKEN}, [a_silence()], 29, Plan([], [])),
        (
            {ID: TAKEN},
            [a_silence()],
            60,
            Plan([a_silence(ends_at=NOON + 60 + LEASE_SECONDS)], []),
        ),
        ({}, [a_silence()], 5, Plan([], [f"of-{ID}"])),
        (
            {ID: an_act("acknowledged", 5, "Lan")},
            [a_silence()],
            5,
            Plan([a_silence(by="Lan", made=5, id="")], [f"of-{ID}"]),
        ),
        ({ID: TAKEN}, [a_silence(), a_silence(id="twin")], 5, Plan([], ["twin"])),
        (
            {OTHER: TAKEN},
            [a_silence()],
            5,
            Plan([a_silence(OTHER, made=5, id="")], [f"of-{ID}"]),
        ),
    ],
)
def test_what_is_there_is_brought_to_what_should_be(wanted, found, after, todo):
    """Made, renewed with its own beginning, ended, taken over by another; one an incident."""
    assert plan(wanted, found, NOON + after) == todo


def test_silences_that_people_made_are_never_touched():
    """Ours: in force, our sign, one matcher on the id of an incident of this province."""

    def told(identity, comment="Thông Suốt: x", state="active", name="id", value=ID, **matcher):
        return {
            "id": identity,
            "status": {"state": state},
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True} | matcher
            ],
            "startsAt": "2025-07-01T05:00:00.000Z",
            "endsAt": "2025-07-01T05:05:00.000Z",
            "updatedAt": "2025-07-01T05:00:00.000Z",
            "createdBy": "Hùng",
            "comment": comment,
        }

    answer = [
        told(f"of-{ID}"),
        told("theirs", comment="bảo trì"),
        told("over", state="expired"),
        told("wide", name="severity", value="page"),
        told("regex", isRegex=True),
        told("neighbour", value="phu-tho-2-250701-001"),
        told("two") | {"matchers": [{"name": "id", "value": ID}, {"name": "x", "value": "y"}]},
    ]

    assert ours(json.dumps(answer).encode(), "phu-tho") == [a_silence()]
