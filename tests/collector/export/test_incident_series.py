"""The series of incidents: what is told of them, and what stays the same while they are open."""

from msgspec.structs import replace

from collector.diagnosis.incident import Incident, Step
from collector.diagnosis.routing import routing
from collector.export.exposition import Exposition
from tests.collector.a_province import NOON, TCOC, YPHU
from tests.collector.diagnosis.test_routing import HERE
from tests.collector.export.pages import named
from tests.collector.state.fleets import a_fleet

MASS = Incident(
    id="phu-tho-250701-001",
    cause="mass_silence",
    scope="site",
    severity="page",
    sites=(YPHU, TCOC),
    carrier="vnpt",
    since=NOON,
    opened_at=NOON,
)
MASS = replace(MASS, routing=routing(MASS, HERE))
OUTAGE = replace(MASS, cause="carrier_outage", sites=(YPHU,))


def shown(incident: Incident, kind: str, *called: str) -> list[str]:
    """Return an open incident's series of a family."""
    exposition = Exposition(a_fleet(HERE), language="en")
    exposition.show([incident], {incident.id: called})
    return named(exposition.live(NOON), f"thongsuot_incident{kind}{{")


def test_what_a_page_is_routed_by_is_what_was_known_at_the_opening():
    """The cause is understood, places leave: the labels of its way do not move."""
    assert shown(MASS, "") == [
        (
            'thongsuot_incident{id="phu-tho-250701-001",severity="page",area="Hòa Bình",'
            'phase="cutover",cause="mass_silence",scope="site"} 1'
        )
    ]
    assert shown(OUTAGE, "") == [
        (
            'thongsuot_incident{id="phu-tho-250701-001",severity="page",area="Hòa Bình",'
            'phase="cutover",cause="carrier_outage",scope="site",site="05305"} 1'
        )
    ]


def test_words_are_in_the_language_of_the_collector():
    """Title, places, since, who leads, how many, all of it in a sentence."""
    assert shown(OUTAGE, "_info") == [
        (
            'thongsuot_incident_info{id="phu-tho-250701-001",title="Wide outage of VNPT",'
            'where="Yên Phú commune",since="12:00:00 01/07/2025",owner="VNPT",sites="1",'
            'sentence="Wide outage of VNPT since 12:00:00 01/07/2025: Yên Phú commune. Lead: VNPT.",'
            'sms="TS phu-tho-250701-001 Wide outage of VNPT since 12:00: Yen Phu commune. Lead VNPT."} 1'
        )
    ]


def test_whose_it_is_by_now_is_called_beside_the_first():
    """Only where that is somebody else; an incident from before there were routes calls nobody."""
    assert shown(MASS, "_reassigned") == []
    assert shown(OUTAGE, "_reassigned") == [
        (
            'thongsuot_incident_reassigned{id="phu-tho-250701-001",severity="page",route="vnpt",'
            'carrier="vnpt"} 1'
        )
    ]
    assert shown(replace(OUTAGE, routing=routing(OUTAGE, HERE)), "_reassigned") == []
    assert shown(replace(OUTAGE, routing={}), "_reassigned") == []


def test_a_tier_does_not_end_when_the_next_is_reached():
    """Whoever was called first keeps the call until the incident closes."""
    incident = replace(OUTAGE, routing=routing(OUTAGE, HERE))

    assert shown(incident, "_escalated") == []
    assert shown(incident, "_escalated", "room", "head") == [
        'thongsuot_incident_escalated{id="phu-tho-250701-001",severity="page",tier="1",route="room"} 1',
        'thongsuot_incident_escalated{id="phu-tho-250701-001",severity="page",tier="2",route="head"} 1',
    ]


def test_the_places_of_a_page_do_not_shrink():
    """The close has what was told last: not the one place that came back last, but all there were."""
    life = tuple(
        Step(at=NOON + n, kind="widened", cause="mass_silence", sites=n) for n in (5, 23, 2)
    )

    assert 'sites="23"' in shown(replace(OUTAGE, life=life), "_info")[0]


def test_what_changes_is_told_anew():
    """The incident, whom it was escalated to, the names in the province folder; a closed one goes."""
    fleet = a_fleet(HERE)
    exposition = Exposition(fleet)

    def live() -> str:
        return exposition.live(NOON).decode()

    exposition.show([MASS])
    assert 'cause="mass_silence"' in live()
    exposition.show([OUTAGE])
    assert 'title="Đứt đường VNPT diện rộng"' in live()
    exposition.show([OUTAGE], {OUTAGE.id: ["room"]})
    assert 'tier="1",route="room"' in live()
    renamed = replace(HERE.carriers["vnpt"], name="VNPT Phú Thọ")
    fleet.reload(replace(HERE, carriers={**HERE.carriers, "vnpt": renamed}), NOON)
    exposition.show([OUTAGE])
    assert 'title="Đứt đường VNPT Phú Thọ diện rộng"' in live()
    exposition.show([])
    assert OUTAGE.id not in live()
