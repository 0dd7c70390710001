"""OPTIONS as it is written, and the judgement of everything that can come back for it."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.sip_framing import MOST_BYTES, MalformedError, Message, Stream, read_datagram
from agent.probes.sip_message import (
    PRODUCT,
    T1_SECONDS,
    TIMER_F_SECONDS,
    USER,
    Answer,
    Asked,
    ask,
    next_wait,
    read_answer,
)

VECTORS = json.loads(Path(__file__).with_name("sip_vectors.json").read_text("utf-8"))
MATCH = VECTORS["match"]
ASKED = Asked(
    host="bridge.example.test",
    transport="UDP",
    address="192.0.2.10",
    port=40000,
    branch=MATCH["branch"],
    cseq=int(MATCH["cseq"].split()[0]),
    call_id=MATCH["call_id"],
    tag=MATCH["from_tag"],
)
GOOD = (
    VECTORS["valid"][0]["response"]
    .replace("sip:probe@192.0.2.10>", f"sip:{USER}@192.0.2.10>")
    .replace("Server: bridge", "Server: cầu")
)


def heard(text: str | bytes) -> Answer | None:
    """Judge one datagram."""
    message = read_datagram(text if isinstance(text, bytes) else text.encode())
    return read_answer(message, ASKED) if message else None


def streamed(*parts: bytes) -> list[Message]:
    """Return the messages in what comes over a stream, part by part."""
    stream, messages = Stream(), []
    for part in parts:
        stream.feed(part)
        while message := stream.next():
            messages.append(message)
    return messages


def test_request():
    """The request is the reference's, byte by byte, but for who we say we are."""
    expected = VECTORS["request"].replace("sip:probe@", f"sip:{USER}@")
    expected = expected.replace("User-Agent: probe", f"User-Agent: {PRODUCT}")

    assert ASKED.wire().decode() == expected


def test_request_over_ipv6():
    """Addresses of IPv6 stand in brackets, without the scope that means something only here."""
    asked = replace(ASKED, host="2001:db8::9", transport="TLS", address="fe80::1%eth0")
    lines = asked.wire().decode().split("\r\n")

    assert lines[0] == "OPTIONS sip:[2001:db8::9] SIP/2.0"
    assert lines[1].startswith("Via: SIP/2.0/TLS [fe80::1]:40000;branch=")
    assert lines[4] == "To: <sip:[2001:db8::9]>"


def test_every_request_is_new():
    """Nothing an answer is known by is used twice; the branch bears RFC 3261's cookie."""
    first, second = (ask("bridge.test", "TCP", "192.0.2.10", 40000) for _ in range(2))

    assert first.branch.startswith("z9hG4bK")
    assert 0 < first.cseq < 2**31
    assert "192.0.2.10" not in first.call_id
    for name in ("branch", "cseq", "call_id", "tag"):
        assert getattr(first, name) != getattr(second, name)


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_answers(case):
    """Every answer of the reference is known as ours, with its code and where we came from."""
    answer = heard(case["response"])

    assert answer is not None
    assert answer.code == case["code"]
    port = None if case["name"] == "compact_folded_case" else 41234
    assert answer.mapped == ("203.0.113.7", port)


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["name"])
def test_bad_answers(case):
    """What is not ours is passed over; what is no answer at all is malformed."""
    if case["expected"] == "ignore":
        assert heard(case["response"]) is None
        return
    with pytest.raises(MalformedError):
        heard(case["response"])


def test_whole_answer():
    """Code, reason, mapping and server are read; nothing was rewritten."""
    assert heard(GOOD) == Answer(200, "OK", ("203.0.113.7", 41234), "", None, "cầu")


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("\r\n", "\n"),
        ("Via:", "v :"),
        ("Via:", "VIA\t:"),
        ("Call-ID: ", "I:"),
        ("From: <", "f: Thông Suốt <"),
        ("From: <", 'f: "a;tag=b, \\"c" <'),
        (";tag=1928301774", " ;x=y; TAG = 1928301774"),
        (";tag=1928301774", "\r\n\t;tag=1928301774"),
        ("SIP/2.0/UDP 192.0.2.10:40000;", "SIP / 2.0 / UDP 192.0.2.10 : 40000 ; "),
        (";branch=", ";BRANCH="),
        (";branch=", ';odd="a,b;branch=c";branch='),
        ("CSeq: 63104 OPTIONS", "cseq: 0063104\t OPTIONS"),
        ("Content-Length: 0\r\n", ""),
        ("Content-Length: 0", "l: 0\r\nContent-Length: 0"),
        ("Content-Length: 0\r\n\r\n", "Content-Length: 3\r\n\r\nsdp and what is no part of it"),
        ("SIP/2.0 200 OK", "sip/2.0 200 OK"),
        ("SIP/2.0 200 OK", "SIP/2.0 200 "),
        ("SIP/2.0 200 OK", "\r\nSIP/2.0 200"),
        ("To: ", "Subject:\r\n  folded\r\n once more\r\nTo: "),
    ],
)
def test_other_ways_to_say_it(found, instead):
    """The freedoms that RFC 3261 gives (and LF alone, which it does not) change nothing."""
    assert found in GOOD
    answer = heard(GOOD.replace(found, instead))

    assert answer is not None
    assert (answer.code, answer.mapped, answer.altered) == (200, ("203.0.113.7", 41234), "")


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("branch=z9hG4bK-776asdhds", "branch=z9hG4bK-776asdhdsX"),
        (";branch=z9hG4bK-776asdhds", ""),
        ("CSeq: 63104", "CSeq: 63105"),
        ("63104 OPTIONS", "63104 options"),
        ("Call-ID: a8", "Call-ID: b8"),
        ("Call-ID: a8", "Call-ID:\r\nX: "),
        ("tag=1928301774", "tag=1928301775"),
        (";tag=1928301774", ""),
        ("\r\nFrom:", "\r\nVia: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bK1\r\nFrom:"),
        ("\r\nFrom:", ", SIP/2.0/UDP 192.0.2.11;branch=z9hG4bK1\r\nFrom:"),
    ],
)
def test_not_ours(found, instead):
    """One thing that differs makes it an answer to somebody else: it is passed over."""
    assert found in GOOD
    assert heard(GOOD.replace(found, instead)) is None


@pytest.mark.parametrize(
    ("found", "instead", "expected"),
    [
        ("SIP/2.0 200 OK", "HTTP/1.1 400 Bad", "found `HTTP/1.1 400 Bad`, expected a SIP message"),
        ("SIP/2.0 200 OK", "SIP/3.0 200 OK", "found `SIP/3.0 200 OK`, expected a SIP message"),
        (
            "SIP/2.0 200 OK",
            "SIP/2.0 099 Odd",
            "found `SIP/2.0 099 Odd`, expected a status from 100 to 699",
        ),
        (
            "SIP/2.0 200 OK",
            "SIP/2.0 2000 OK",
            "found `SIP/2.0 2000 OK`, expected a status from 100 to 699",
        ),
        ("SIP/2.0 200 OK", "SIP/2.0 200 OK\r\n folded", "found a header that begins in the middle of a field"),
        ("Call-ID:", "X-Call-ID:", "found no call-id in the answer"),
        ("\r\nVia:", "\r\nX:", "found no via in the answer"),
        ("\r\nTo:", "\r\nX:", "found no to in the answer"),
        ("\r\nCSeq:", "\r\nX:", "found no cseq in the answer"),
        ("\r\nCSeq:", "\r\nCSeq: 1 OPTIONS\r\nCSeq:", "found 2 times cseq in the answer"),
        ("63104 OPTIONS", "OPTIONS", "found CSeq `OPTIONS`, expected a number and a method"),
        ("SIP/2.0/UDP 192", "UDP 192", "found Via `UDP 192.0.2.10:40000;branch=z9hG4bK-776asdhds;received=203.0.113.7;rport=41234`"),
        ("Content-Length: 0", "Content-Length: 5", "found a body of 0 bytes, expected 5"),
        ("Content-Length: 0", "Content-Length: -1", "found Content-Length `-1`, expected one number"),
        ("Content-Length: 0", "l: 0\r\nl: 1", "expected one number"),
        ("Content-Length: 0", "no field", "found the header line `no field`"),
        ("Content-Length: 0", "no field: 0", "found the header line `no field: 0`"),
        ("\r\n\r\n", "\r\n", "found a header without an end"),
    ],
)  # fmt: skip
def test_malformed(found, instead, expected):
    """What breaks the protocol is named, with what was found."""
    assert found in GOOD
    with pytest.raises(MalformedError) as caught:
        heard(GOOD.replace(found, instead))

    assert str(caught.value).endswith(expected)


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"\0\0\0\0"])
def test_keepalives(data):
    """What only keeps a NAT's mapping alive says nothing."""
    assert read_datagram(data) is None


def test_requests_are_no_answers():
    """What a bridge asks us, or our own request sent back, is passed over."""
    assert heard(ASKED.wire()) is None


def test_nonsense_is_shown_as_it_can_be():
    """Bytes that are no text do not reach people, and a long line not whole."""
    with pytest.raises(MalformedError) as caught:
        heard(b"\x1b[2J\xff" + b"x" * 500)

    assert str(caught.value) == f"found `?[2J\ufffd{'x' * 75}`, expected a SIP message"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("18000;duration=3600", 18000), ("5 (in a meeting)", 5), ("soon", None)],
)
def test_retry_after(text, seconds):
    """How long to stay away is read in each of the ways to say it."""
    answer = heard(GOOD.replace("Allow:", f"Retry-After: {text}\r\nAllow:"))

    assert answer is not None
    assert answer.retry_after == seconds


@pytest.mark.parametrize(
    ("said", "mapped"),
    [
        (";received=203.0.113.7;rport=41234", ("203.0.113.7", 41234)),
        (";rport", ("", None)),
        (";rport=0", ("", None)),
        (";rport=70000;received=nowhere.test", ("", None)),
        (";received=[2001:db8:0::7]", ("2001:db8::7", None)),
    ],
)
def test_mapping(said, mapped):
    """Where the request came from is told only where it is an address and a port."""
    answer = heard(GOOD.replace(";received=203.0.113.7;rport=41234", said))

    assert answer is not None
    assert answer.mapped == mapped


@pytest.mark.parametrize(
    ("found", "instead", "altered"),
    [
        (
            "UDP 192.0.2.10:40000",
            "UDP 203.0.113.7:40000",
            "Via: found 203.0.113.7:40000, expected 192.0.2.10:40000",
        ),
        (
            "UDP 192.0.2.10:40000",
            "UDP 192.0.2.10:5060",
            "Via: found 192.0.2.10:5060, expected 192.0.2.10:40000",
        ),
        (
            f"<sip:{USER}@192.0.2.10>",
            f"sip:{USER}@203.0.113.7",
            f"From: found sip:{USER}@203.0.113.7, expected sip:{USER}@192.0.2.10",
        ),
        (f"<sip:{USER}@192.0.2.10>", f"sip:{USER}@192.0.2.10", ""),
        (f"From: <sip:{USER}@192.0.2.10>", f"From:  <SIP:{USER}@192.0.2.10 >", ""),
    ],
)
def test_rewritten_on_the_way(found, instead, altered):
    """Our own address in Via and From must come back as it was sent; how it is written may vary."""
    assert found in GOOD
    answer = heard(GOOD.replace(found, instead))

    assert answer is not None
    assert answer.altered == altered


def test_two_answers_in_one_segment():
    """Content-Length parts what came together, wherever it was cut."""
    both = VECTORS["tcp_framing"]["two_responses_one_segment"].encode()

    assert len(streamed(both)) == 2
    for cut in (*VECTORS["tcp_framing"]["split_at"], *range(1, len(both), 7)):
        first, second = streamed(both[:cut], both[cut:])
        assert first == second
    assert len(streamed(*(both[at : at + 1] for at in range(len(both))))) == 2


def test_keepalives_on_a_stream():
    """Pings and pongs before, between and after the messages are passed over."""
    one = VECTORS["tcp_framing"]["leading_crlf"].encode()

    assert len(streamed(one, b"\r", b"\n\r\n", one, b"\r\n")) == 2


def test_body_on_a_stream():
    """A body is skipped, even one that looks like an answer."""
    inner = GOOD.encode()
    outer = GOOD.replace("Content-Length: 0", f"l:{len(inner)}").encode() + inner

    assert len(streamed(outer[:-1])) == 0
    assert len(streamed(outer, inner)) == 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "found `SSH-2.0-OpenSSH`, expected a SIP message"),
        (b"\x15\x03\x01\0\x02\x02\x50\n", "found `??????P`, expected a SIP message"),
        (
            GOOD.replace("Content-Length: 0\r\n", "").encode(),
            "found no Content-Length, which a stream needs",
        ),
        (
            GOOD.replace("Content-Length: 0", "Content-Length: 65536").encode(),
            "found a Content-Length of 65536, expected 65535 at most",
        ),
        (
            b"SIP/2.0 200 OK\r\n" + b"X: y\r\n" * 11000,
            "found 66016 bytes of header without an end",
        ),
        (
            b"x" * (MOST_BYTES + 1),
            f"found `{'x' * 80}`, expected a SIP message",
        ),
        (
            b"\r\n" * (1 << 20),
            "2097152 bytes came, and no final answer among them",
        ),
    ],
)
def test_streams_that_never_answer(data, expected):
    """A stream that cannot become an answer is given up as soon as that is known."""
    with pytest.raises(MalformedError) as caught:
        streamed(data)

    assert str(caught.value) == expected


def test_pace():
    """Over UDP the request is sent when RFC 3261 says, up to timer F; each 4 s after a 1xx."""
    sent, wait = [0.0], T1_SECONDS
    while sent[-1] + wait < TIMER_F_SECONDS:
        sent.append(sent[-1] + wait)
        wait = next_wait(wait, provisional=False)

    assert [1000 * at for at in sent] == VECTORS["udp_timers"]["timer_E_send_at_ms"]
    assert next_wait(0.5, provisional=True) == 1e-3 * VECTORS["udp_timers"]["T2_ms"]


@given(st.binary(max_size=400), st.integers(0, 600))
def test_any_bytes(noise, at):
    """Whatever comes, there is an answer, none, or one word for it."""
    data = GOOD.encode()
    for text in (noise, data[:at] + noise + data[at + len(noise) :], b"SIP/2.0 200 OK\n" + noise):
        for read in (heard, streamed):
            with suppress(MalformedError):
                read(text)
