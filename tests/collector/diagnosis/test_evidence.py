"""Evidence at the centre: kept once, of each place the newest, found by place and by incident."""

import msgspec
import pytest
from msgspec.structs import replace

from agent.wire import EVIDENCE
from collector.diagnosis import evidence as module
from collector.diagnosis.evidence import (
    Evidence,
    EvidenceStore,
    found_in,
    incident_of,
    read_dossier,
    read_site,
)
from collector.diagnosis.incident import Change, Incident, Member
from collector.diagnosis.store import Store
from collector.ingest.entries import NewEntry
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province, gateway
from tests.collector.ingest.pushes import batch, sample

PATH = "icmp 192.168.1.1\n1 *"


def seen(n: int = 0, **changes) -> Evidence:
    """Return evidence of the n-th second."""
    fields = {
        "agent": YPHU,
        "boot": "b" * 32,
        "seq": n + 1,
        "place": 0,
        "site": YPHU,
        "subject": YPHU,
        "check": "gateway",
        "target": "192.168.1.1",
        "at": NOON + n,
        "failure": "timeout",
        "facts": {"path": PATH},
    }
    return Evidence(**{**fields, **changes})


def an_entry(*samples, agent=YPHU, **changes) -> NewEntry:
    """Return a journalled batch."""
    whole = batch(7, agent=agent, samples=list(samples))
    fields = {
        "agent": agent,
        "boot": whole.boot,
        "seq": whole.seq,
        "batch": whole,
        "body": msgspec.json.encode(whole),
        "times": [NOON + number for number in range(len(samples))],
        "trusted": True,
        "quarantined": [],
        "received_at": NOON,
    }
    return NewEntry(**{**fields, **changes})


def saw(**changes):
    """Return a sample of evidence."""
    fields = {"kind": EVIDENCE, "failure": "timeout", "detail": "in phase connect"}
    return sample(**{**fields, "facts": {"path": PATH}, **changes})


@pytest.fixture
def path(tmp_path):
    """Return the file of a collector that has begun."""
    Store(tmp_path / "state.sqlite").close()
    return tmp_path / "state.sqlite"


def an_incident(**changes) -> Incident:
    """Return an incident of Yên Phú's gateway, from noon on."""
    fields = {
        "id": "phu-tho-250701-001",
        "cause": "check_down",
        "scope": "site",
        "severity": "page",
        "sites": (YPHU,),
        "check": "gateway",
        "since": NOON,
        "opened_at": NOON + 1,
        "members": (Member(series=gateway(YPHU), since=NOON, failure="timeout"),),
    }
    return Incident(**{**fields, **changes})


def test_only_evidence_is_taken_from_a_batch():
    """Attempts and what is in quarantine are left; place, subject and times are the centre's."""
    inventory = a_province()
    entry = an_entry(
        sample(),
        saw(check="gateway", target="192.168.1.1"),
        saw(check="dns"),
        quarantined=[2],
        trusted=False,
    )

    [found] = found_in(entry, inventory)
    assert (found.id, found.at, found.trusted) == (f"{'b0' * 16}.7.1", NOON + 1, False)
    assert (found.site, found.subject, found.series) == (YPHU, YPHU, gateway(YPHU))
    assert (found.failure, found.detail) == ("timeout", "in phase connect")
    assert found.facts == {"path": PATH}


def test_who_is_looked_at_from_elsewhere():
    """What a data centre saw of a commune's web site is about the commune; of a stranger, its own."""
    inventory = a_province()
    web = saw(check="web", target=f"https://{YPHU}.example/")

    [of_web] = found_in(an_entry(web, agent=DC), inventory)
    [of_stranger] = found_in(an_entry(saw(), agent="99999"), inventory)

    assert (of_web.site, of_web.subject) == (DC, YPHU)
    assert (of_stranger.site, of_stranger.subject) == ("99999", "99999")


def test_facts_have_bounds():
    """An agent that tells novels is cut short."""
    facts = {f"fact{n}": "x" * 2000 for n in range(60)}

    [found] = found_in(an_entry(saw(facts=facts)), a_province())

    assert 0 < sum(map(len, found.facts.values())) <= module.MOST_CHARACTERS


def test_kept_once_over_restarts(path):
    """Saved twice it is there once; after a restart it is known when the newest is from."""
    store = EvidenceStore(path)
    store.save([seen(0), seen(5), seen(3)])
    store.save([seen(5)])
    store.close()
    again = EvidenceStore(path)
    again.save([seen(5)])

    assert [one.at - NOON for one in read_dossier(path, YPHU, "gateway").evidence] == [5, 3, 0]
    assert again.newest == {(YPHU, "gateway"): NOON + 5}


def test_each_place_keeps_its_newest(path, monkeypatch):
    """A place that fails all day does not push out another's evidence, and grows no further."""
    monkeypatch.setattr(module, "KEPT_PER_SITE", 3)
    store = EvidenceStore(path)
    store.save([seen(0, agent=TCOC, site=TCOC, subject=TCOC)])
    for n in (9, 2, 7, 5, 1):
        store.save([seen(n)])

    assert [one.at - NOON for one in read_dossier(path, YPHU, "gateway").evidence] == [9, 7, 5]
    assert len(read_dossier(path, TCOC, "gateway").evidence) == 1


def test_a_dossier_holds_what_belongs_together(path):
    """A check's own evidence, others' of the same check about then, and the incidents of the place."""
    ours, later = an_incident(), an_incident(id="phu-tho-250701-002", sites=(TCOC,))
    before = an_incident(id="phu-tho-250630-001", since=NOON - 9000, closed_at=NOON - 8000)
    database = Store(path)
    database.save([Change("opened", one) for one in (before, ours, later)], {})
    EvidenceStore(path).save(
        [
            seen(1),
            seen(2, check="dns"),
            seen(3, agent=TCOC, site=TCOC, subject=TCOC),
            seen(9000, agent=TCOC_TTPV, site=TCOC, subject=TCOC),
        ]
    )

    dossier = read_dossier(path, YPHU, "gateway")
    assert dossier.evidence == [seen(1)]
    assert [one.agent for one in dossier.alike] == [TCOC]
    assert dossier.incidents == [ours]
    assert read_dossier(path, YPHU, "nothing").evidence == []


def test_a_place_in_a_time(path):
    """Seen from there or about it, within from and to."""
    EvidenceStore(path).save(
        [
            seen(0),
            seen(100),
            seen(200),
            seen(150, agent=DC, site=DC),
            seen(160, site=TCOC, subject=TCOC),
        ]
    )

    found = read_site(path, YPHU, NOON + 50, NOON + 180)
    assert [one.at - NOON for one in found.evidence] == [150, 100]


@pytest.mark.parametrize(
    ("at", "changes", "belongs"),
    [
        (NOON + 5, {}, True),
        (NOON - 100, {}, True),
        (NOON - 200, {}, False),
        (NOON + 50, {"closed_at": NOON + 20}, True),
        (NOON + 90, {"closed_at": NOON + 20}, False),
        (NOON + 5, {"members": ()}, False),
        (NOON + 5, {"members": (), "cause": "site_silent", "check": ""}, True),
        (NOON + 5, {"members": (), "cause": "site_silent", "sites": (TCOC,)}, False),
    ],
)
def test_which_incident_it_belongs_to(at, changes, belongs):
    """The one that lists what failed and was open then, else the silence of the place."""
    incident = an_incident(**changes)

    assert incident_of(seen(at=at), [incident]) == (incident if belongs else None)


def test_the_failing_check_explains_more_than_the_silence():
    """Of both the incident with the series is named."""
    silence = an_incident(id="s", cause="site_silent", members=())

    assert incident_of(seen(1), [silence, an_incident()]) == an_incident()


def test_later_fields_do_not_hurt(path):
    """What a later version wrote is read by this one."""
    store = EvidenceStore(path)
    store.save([seen(0)])
    body = msgspec.json.encode({**msgspec.to_builtins(seen(0)), "asn": [64500]})
    store._database.execute("UPDATE evidence SET body = ?", (body,))

    assert read_dossier(path, YPHU, "gateway").evidence == [replace(seen(0))]
