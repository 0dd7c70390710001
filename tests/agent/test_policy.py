"""What an answer means, and what is done about it."""

import errno
import inspect
import re
import socket
import ssl

import aiohttp
import msgspec
import pytest
from aiohttp.client_reqrep import ConnectionKey

from agent.policy import (
    BY_CODE,
    Backoff,
    Outcome,
    Policy,
    Portion,
    Reply,
    judge,
    judge_failure,
)
from agent.probes.base import ProbeError
from agent.wire import Ack, Answer, Refusal

ANSWER = Answer(v=1, received_at=1.0, answered_at=2.0, acks=[Ack(boot="b", ranges=[(1, 2)])])
HTML = b"<html><h1>502 Bad Gateway</h1></html>"


def refused(status: int, code: str, **headers: str) -> Outcome:
    """Judge a refusal of the collector's."""
    body = msgspec.json.encode(Refusal(error="because", code=code))
    return judge(Reply(status, body, headers))


def test_an_answer_is_one():
    """200 with the body of an Answer."""
    assert judge(Reply(200, msgspec.json.encode(ANSWER))) == Outcome(
        Policy.DONE, heard=True, answer=ANSWER
    )


@pytest.mark.parametrize(
    "status", [200, 204, 301, 302, 400, 401, 403, 404, 409, 413, 429, 502, 503]
)
@pytest.mark.parametrize("body", [HTML, b"", b"{}", b'{"error": "no code"}', b"\xff", b"[1]"])
def test_what_is_not_ours_costs_nothing(status, body):
    """Whatever a proxy or a captive portal says, the batches are sent again."""
    outcome = judge(Reply(status, body, {"content-type": "text/html", "retry-after": "1e9"}))

    assert outcome == Outcome(
        Policy.RETRY,
        f"HTTP {status}, but not by the collector: text/html",
        objected=status in {400, 403, 404, 409, 413},  # perhaps to what one batch says
    )


@pytest.mark.parametrize(
    ("status", "code", "policy"),
    [
        (401, "unauthorised", Policy.HOLD),
        (403, "revoked", Policy.HOLD),
        (403, "wrong_agent", Policy.SPLIT),
        (400, "malformed", Policy.SPLIT),
        (413, "too_large", Policy.SPLIT),
        (429, "too_many", Policy.WAIT),
        (503, "busy", Policy.WAIT),
        (404, "not_found", Policy.RETRY),
        (418, "from_the_future", Policy.RETRY),
    ],
)
def test_each_refusal_has_its_policy(status, code, policy):
    """By the code, which is ours; the status is only passed on to people."""
    outcome = refused(status, code)

    assert (outcome.policy, outcome.heard) == (policy, True)
    assert outcome.why == f"HTTP {status}, {code}: because"


def test_the_table_knows_every_code_of_the_contract():
    """The codes that Refusal's docstring lists, no more and no fewer."""
    listed = re.search(r"For programs: ([\w, ]+)\.", inspect.getsource(Refusal))

    assert listed is not None
    assert set(listed[1].split(", ")) == set(BY_CODE)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.1),
        ("1e9", 300.0),
        ("-5", 0.1),
        ("nan", 5.0),
        ("inf", 5.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 5.0),
        ("", 5.0),
    ],
)
def test_waits_as_long_as_told_within_reason(header, seconds):
    """What cannot be understood is a few seconds."""
    assert refused(503, "busy", **{"retry-after": header}).wait == seconds
    assert refused(503, "busy").wait == 5.0


KEY = ConnectionKey("c.test", 443, True, True, None, None, None)
EXPIRED = ssl.SSLCertVerificationError("bad")
EXPIRED.verify_code, EXPIRED.verify_message = 10, "certificate has expired"


def caused(exc: Exception, cause: Exception) -> Exception:
    """Return an exception as `raise exc from cause` leaves it."""
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("exc", "why"),
    [
        (TimeoutError(), "timeout"),
        (
            caused(
                aiohttp.ClientConnectorError(KEY, refused_ := ConnectionRefusedError(111, "no")),
                refused_,
            ),
            "refused: Connection refused",
        ),
        (
            caused(
                aiohttp.ClientConnectorDNSError(KEY, gone := socket.gaierror(-2, "not known")), gone
            ),
            "resolve_failed: not known",
        ),
        (aiohttp.ServerDisconnectedError(), "closed: Server disconnected"),
        (
            caused(aiohttp.ClientConnectorCertificateError(KEY, EXPIRED), EXPIRED),
            "tls_expired: certificate has expired",
        ),
        (ProbeError("token file /t holds no token"), "token file /t holds no token"),
    ],
)
def test_no_answer_is_named_as_a_probe_would(exc, why):
    """Always tried again; only a certificate's date makes one wonder about one's own clock."""
    assert judge_failure(exc) == Outcome(Policy.RETRY, why, by_clock=why.startswith("tls_expired"))


def test_a_fault_of_this_pc_is_named_as_one():
    """An address that is not ours, a socket we may not have: told, and tried again."""
    outcome = judge_failure(OSError(errno.EADDRNOTAVAIL, "x"))

    assert outcome.policy is Policy.RETRY
    assert outcome.why.endswith("([Errno 99] x)")
    assert not outcome.why.startswith("unknown")


def test_pauses_grow_and_are_spread():
    """Full jitter: anything between nothing and twice as much each time, up to a bound."""
    backoff = Backoff(0.5, 30.0)
    pauses = [[backoff.next() for _ in range(9)] for _ in range(400) if backoff.reset() is None]

    for n, longest in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30, 30]):
        column = [row[n] for row in pauses]
        assert 0 <= min(column) < longest * 0.1
        assert longest * 0.9 < max(column) <= longest


def test_a_portion_follows_the_line():
    """Quick answers to full pushes double it, slow ones and failures halve it, within bounds."""
    portion = Portion(100, 50, 300)
    portion.took(0.1, 40)
    assert portion.size == 100, "a small push says little"
    portion.took(0.1, 90)
    assert portion.size == 200
    portion.took(0.1, 200)
    assert portion.size == 300
    portion.took(0.7, 300)
    assert portion.size == 300
    portion.took(1.1, 300)
    assert portion.size == 150
    for _ in range(3):
        portion.failed()
    assert portion.size == 50
