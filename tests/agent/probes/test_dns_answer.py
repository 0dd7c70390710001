"""Answers are read as the vectors say, and rubbish is never more than a failure."""

import json
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.dns_answer import (
    Answer,
    MalformedError,
    Reader,
    TruncatedError,
    Verdict,
    without_ttls,
)
from agent.wire import Failure

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))["dns"]
NAME, IDENT = VECTORS["query"]["qname"], b"\x12\x34"
WIRE = {one["name"]: bytes.fromhex(one["hex"]) for one in VECTORS["valid"] + VECTORS["bad"]}


def reader(kind="A", rcodes=("NOERROR",), addresses=(), name=NAME) -> Reader:
    """Return a reader of the answers to a query."""
    return Reader(dns.message.make_query(name, kind), rcodes, addresses)


def made(*records: str, authority=(), rcode=0, flags=dns.flags.QR, name=NAME, kind="A") -> bytes:
    """Return an answer with the id of the vectors, of records in zone file form."""
    query = dns.message.make_query(name, kind)
    query.id = 0x1234
    answer = dns.message.make_response(query)
    answer.flags |= flags
    answer.set_rcode(rcode)
    for section, texts in ((answer.answer, records), (answer.authority, authority)):
        for text in texts:
            owner, ttl, rdtype, rdata = text.split(maxsplit=3)
            rrset = dns.rrset.from_text(owner, int(ttl), "IN", rdtype, rdata)
            key = (rrset.name, rrset.rdclass, rrset.rdtype)
            answer.find_rrset(section, *key, create=True).update(rrset)
    return answer.to_wire(max_size=65535)


@pytest.mark.parametrize(
    ("name", "kind", "found", "failure", "detail"),
    [
        ("a_compressed", "A", "198.51.100.9", None, ""),
        ("aaaa", "AAAA", "2001:db8::9", None, ""),
        (
            *("cname_only", "A", "", Failure.DNS_NO_ANSWER),
            "no A record of bridge.example.test., which is real.example.test.",
        ),
        ("nodata", "A", "", Failure.DNS_NO_ANSWER, "no A record of bridge.example.test."),
        ("refused_no_question", "A", "", Failure.DNS_REFUSED, "REFUSED, expected NOERROR"),
        ("edns_badvers", "A", "", Failure.DNS_RCODE, "BADVERS, expected NOERROR"),
    ],
)
def test_valid_vectors(name, kind, found, failure, detail):
    """Every valid vector is read, and judged by what a check expects by default."""
    answer = reader(kind).read(WIRE[name], IDENT)

    assert answer is not None
    assert (answer.verdict.found, answer.verdict.failure) == (found, failure)
    assert answer.verdict.detail == detail
    assert answer.ttl_seconds == (300 if found else None)


def test_all_valid_vectors_were_tried():
    """A vector that is added is not passed over in silence."""
    marks = test_valid_vectors.pytestmark[0].args[1]
    assert {mark[0] for mark in marks} == {one["name"] for one in VECTORS["valid"]}


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_bad_vectors(vector):
    """What is malformed is called so; what is no answer at all is passed over."""
    wire = bytes.fromhex(vector["hex"])
    if vector["expected"] == "ignore":
        assert reader().read(wire, IDENT) is None
        return
    with pytest.raises(MalformedError):
        reader().read(wire, IDENT)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(WIRE["a_compressed"][:11], id="less than a header"),
        pytest.param(b"\x12\x35" + WIRE["a_compressed"][2:], id="another id"),
        pytest.param(IDENT + b"\xa9" + WIRE["a_compressed"][3:], id="an update's answer"),
        pytest.param(WIRE["aaaa"], id="another type"),
        pytest.param(made("b.test. 60 A 192.0.2.1", name="b.test."), id="another name"),
        pytest.param(made(name="b.test.", flags=dns.flags.TC), id="another name, cut"),
    ],
)
def test_no_answer_to_us(wire):
    """A message that does not answer our question is passed over, whatever else it says."""
    assert reader().read(wire, IDENT) is None


def test_whole_answer():
    """All that an answer holds is told: records counted by section, found ones sorted."""
    wire = made(f"{NAME}. 300 CNAME b.test.", "b.test. 60 A 192.0.2.9", "b.test. 60 A 192.0.2.1")

    assert reader().read(wire, IDENT) == Answer(
        Verdict(
            rcode=0,
            answer_rrs=3,
            authority_rrs=0,
            additional_rrs=0,
            found="192.0.2.1, 192.0.2.9",
            failure=None,
            detail="",
        ),
        ttl_seconds=60,
    )


def test_records_of_other_names():
    """An address of a name that nobody asked for and nothing leads to is none."""
    answer = reader().read(made("other.test. 60 A 192.0.2.1"), IDENT)

    assert answer.verdict.failure is Failure.DNS_NO_ANSWER
    assert answer.ttl_seconds is None


def test_circle_of_names():
    """Names that lead to each other for ever are nonsense, and reading them ends."""
    wire = made(f"{NAME}. 60 CNAME b.test.", f"b.test. 60 CNAME {NAME}.")
    with pytest.raises(MalformedError, match=r"^ChainTooLong: "):
        reader().read(wire, IDENT)


@pytest.mark.parametrize(
    ("rcodes", "wire", "failure", "detail"),
    [
        (("NXDOMAIN",), made(rcode=3), None, ""),
        (("NOERROR", "NXDOMAIN"), made(rcode=3), None, ""),
        (("NOERROR",), made(rcode=3), Failure.DNS_NXDOMAIN, "NXDOMAIN, expected NOERROR"),
        (("NOERROR",), made(rcode=2), Failure.DNS_SERVFAIL, "SERVFAIL, expected NOERROR"),
        (("NOERROR",), made(rcode=4), Failure.DNS_RCODE, "NOTIMP, expected NOERROR"),
        (
            *(("NXDOMAIN",), made(f"{NAME}. 60 A 10.20.1.1"), Failure.DNS_WRONG_ANSWER),
            "NOERROR (10.20.1.1), expected NXDOMAIN",
        ),
        (
            *(("NXDOMAIN", "REFUSED"), made(), Failure.DNS_WRONG_ANSWER),
            "NOERROR, expected NXDOMAIN or REFUSED",
        ),
    ],
)
def test_rcodes(rcodes, wire, failure, detail):
    """The response code has to be one of those expected; an error may be the right answer."""
    verdict = reader(rcodes=rcodes).read(wire, IDENT).verdict

    assert (verdict.failure, verdict.detail) == (failure, detail)


OLD, NEW = "192.0.2.1", "192.0.2.2"


@pytest.mark.parametrize(
    ("answered", "expected", "detail"),
    [
        ([NEW], (NEW,), ""),
        ([NEW], (OLD, NEW), ""),
        ([NEW, OLD], (OLD, NEW), ""),
        ([OLD], (NEW,), f"{OLD}, expected {NEW}"),
        ([OLD, NEW], (NEW,), f"{OLD}, {NEW}, expected {NEW}"),
    ],
)
def test_expected_addresses(answered, expected, detail):
    """Of the addresses expected at least one is there, and no other."""
    wire = made(*(f"{NAME}. 60 A {address}" for address in answered))
    verdict = reader(addresses=expected).read(wire, IDENT).verdict

    assert verdict.failure is (Failure.DNS_WRONG_ANSWER if detail else None)
    assert verdict.detail == detail


def test_expected_addresses_of_nothing():
    """Where no address comes, the word is that none came."""
    verdict = reader(addresses=(OLD,)).read(made(), IDENT).verdict
    assert verdict.failure is Failure.DNS_NO_ANSWER

    expected_v6 = reader("AAAA", addresses=("2001:DB8:0::1",))
    wire = made(f"{NAME}. 60 AAAA 2001:db8::1", kind="AAAA")
    assert expected_v6.read(wire, IDENT).verdict.failure is None


@pytest.mark.parametrize("length", [30, 12])
def test_cut_short(length):
    """An answer marked as cut is one to ask for again, even where it was cut badly."""
    wire = made(f"{NAME}. 60 A 192.0.2.1", flags=dns.flags.TC)
    with pytest.raises(TruncatedError):
        reader().read(wire, IDENT)
    with pytest.raises(TruncatedError):
        reader().read(wire[:length], IDENT)


def test_said_again_is_not_parsed_again(monkeypatch):
    """An answer of which only id and TTL have changed is known; its TTL is the new one."""
    one = reader()
    first = one.read(made(f"{NAME}. 60 A 192.0.2.1"), IDENT)
    monkeypatch.setattr(dns.message, "from_wire", None)
    again = one.read(b"\x43\x21" + made(f"{NAME}. 59 A 192.0.2.1")[2:], b"\x43\x21")

    assert again.verdict is first.verdict
    assert (first.ttl_seconds, again.ttl_seconds) == (60, 59)


def test_ttls_of_the_authority():
    """Those count down as well, so they are no news; but they are not the answer's."""
    one = reader()
    first, again = (
        one.read(made(f"{NAME}. 60 A 192.0.2.1", authority=[f"test. {ttl} NS ns.test."]), IDENT)
        for ttl in (30, 29)
    )

    assert again.verdict is first.verdict
    assert first.verdict.authority_rrs == 1
    assert first.ttl_seconds == again.ttl_seconds == 60


def test_what_is_left_of_an_answer_is_none():
    """A message that is what remains of a known one without its TTL is malformed all the same."""
    one = reader("TXT")
    whole = made(f'{NAME}. 60 TXT ""', kind="TXT")
    assert one.read(whole, IDENT).verdict.found == '""'
    with pytest.raises(MalformedError):
        one.read(IDENT + without_ttls(whole)[0], IDENT)


def test_remembers_a_limited_number():
    """A resolver with ever new answers does not fill the memory."""
    one = reader()
    for number in range(600):
        one.read(made(f"{NAME}. 60 A 192.0.{number % 3}.{number % 250}"), IDENT)

    assert 0 < len(one._seen) <= 256


def test_ttl_with_its_first_bit_set():
    """Such a TTL counts as 0 (RFC 2181 section 8)."""
    wire = bytearray(WIRE["a_compressed"])
    at = wire.index(bytes.fromhex("0000012c"))
    wire[at] = 0x80

    assert reader().read(bytes(wire), IDENT).ttl_seconds == 0


WHOLE = [
    *(WIRE[one["name"]] for one in VECTORS["valid"]),
    made(f"{NAME}. 300 CNAME b.test.", "b.test. 60 A 192.0.2.9", "b.test. 60 A 192.0.2.1"),
]


def outcome(one: Reader, wire: bytes) -> Answer | type[Exception] | None:
    """Return what reading comes to."""
    try:
        return one.read(wire, IDENT)
    except MalformedError as exc:
        return type(exc)


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(2, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 200),
)
def test_memory_changes_nothing(whole, changes, length):
    """Whatever is changed in an answer, one who has seen others comes to the same as a newcomer."""
    wire = bytearray(whole)
    for at, value in changes:
        wire[at % len(wire)] = value
    mutated = IDENT + bytes(wire)[2:] if length >= len(wire) else bytes(wire[:length])
    old = reader()
    for each in WHOLE:
        outcome(old, each)

    assert outcome(old, mutated) == outcome(reader(), mutated)
    assert outcome(old, mutated) == outcome(reader(), mutated)


@given(st.binary(max_size=80))
def test_rubbish(data):
    """Whatever comes with our id, reading it raises nothing but MalformedError."""
    outcome(reader(), IDENT + b"\x81\x80" + data)
    without_ttls(IDENT + b"\x81\x80" + bytes(8) + data)
