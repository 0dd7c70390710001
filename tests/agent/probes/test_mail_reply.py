"""Lines of mail servers are told right from wrong, whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import TargetError
from agent.probes.mail_reply import (
    LINE_BYTES,
    LINES,
    Lines,
    imap_capabilities,
    imap_greeting,
    imap_is_last,
    pop3_says_yes,
    require_starttls,
    smtp_line,
)
from agent.wire import Failure


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("220 mx.example.test ESMTP", (220, "mx.example.test ESMTP", False)),
        ("220-mx one", (220, "mx one", True)),
        ("250", (250, "", False)),
        ("250-", (250, "", True)),
        ("454 4.7.0 TLS not available", (454, "4.7.0 TLS not available", False)),
    ],
)
def test_smtp_line(line, read):
    """Code, text and whether more follows; the text may be missing."""
    assert smtp_line(line) == read


@pytest.mark.parametrize(
    "line", ["", "HTTP/1.1 400 Bad Request", "22O mx", "220_mx", "2200", "620 x", "270 x", "٢٢٠ mx"]
)
def test_no_smtp_line(line):
    """What is no reply is shown as it was found."""
    with pytest.raises(TargetError) as caught:
        smtp_line(line)

    assert caught.value.failure is Failure.MALFORMED
    assert str(caught.value) == f"found {line!r}, expected a reply such as 220"


@pytest.mark.parametrize("offer", ["STARTTLS", "starttls", "StartTLS"])
def test_starttls_is_offered(offer):
    """The keyword counts in any case of its letters."""
    require_starttls(["mx.example.test", "SIZE 1", offer])


@pytest.mark.parametrize(
    ("texts", "detail"),
    [
        (["mx", "SIZE 1"], "found no STARTTLS in the reply to EHLO"),
        (["STARTTLS"], "found no STARTTLS in the reply to EHLO"),  # the server's name
        (["mx", "XSTARTTLS"], "found no STARTTLS in the reply to EHLO"),
        (["mx", "XEXCH50"], "found no STARTTLS in the reply to EHLO"),
        (
            ["mx", "XXXXXXXA"],
            "found no STARTTLS in the reply to EHLO but XXXXXXXA: a firewall on the way writes over it",
        ),
        (
            ["mx", "XXXXXXXX"],
            "found no STARTTLS in the reply to EHLO but XXXXXXXX: a firewall on the way writes over it",
        ),
    ],
)
def test_starttls_is_not_offered(texts, detail):
    """Missing is told from written over."""
    with pytest.raises(TargetError) as caught:
        require_starttls(texts)

    assert (caught.value.failure, str(caught.value)) == (Failure.NOT_OFFERED, detail)


@pytest.mark.parametrize("line", ["* OK ready", "* ok", "* PREAUTH ready"])
def test_imap_welcomes(line):
    """OK and PREAUTH are welcomes."""
    imap_greeting(line)


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("* BYE too many connections", Failure.STATUS),
        ("* NO", Failure.MALFORMED),
        ("OK", Failure.MALFORMED),
        ("220 mx ESMTP", Failure.MALFORMED),
        ("", Failure.MALFORMED),
    ],
)
def test_imap_does_not_welcome(line, failure):
    """BYE is an answer that says no; the rest is no IMAP."""
    with pytest.raises(TargetError) as caught:
        imap_greeting(line)

    assert caught.value.failure is failure


def test_imap_reply_ends_with_its_tag():
    """Lines without a tag go on, ours ends; BYE is one of them only at the end."""
    assert not imap_is_last("* CAPABILITY IMAP4rev1", "a1")
    assert not imap_is_last("* BYE logging out", "a2", leaving=True)
    assert imap_is_last("a1 OK done", "a1")
    assert imap_is_last("A1 ok", "a1")


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("a1 NO not now", Failure.STATUS),
        ("a1 BAD what", Failure.STATUS),
        ("* BYE shutting down", Failure.STATUS),
        ("a1", Failure.MALFORMED),
        ("a1 MAYBE", Failure.MALFORMED),
        ("a2 OK of another", Failure.MALFORMED),
        ("+ go on", Failure.MALFORMED),
    ],
)
def test_imap_reply_that_says_no(line, failure):
    """A refusal, a goodbye out of turn and nonsense each have their word."""
    with pytest.raises(TargetError) as caught:
        imap_is_last(line, "a1")

    assert caught.value.failure is failure


def test_imap_must_say_which():
    """A server that names no IMAP version is none."""
    imap_capabilities(["* OK still here", "* CAPABILITY IMAP4rev1 IDLE"])
    imap_capabilities(["* CAPABILITY imap4REV2"])
    for lines in (["* CAPABILITY IDLE"], []):
        with pytest.raises(TargetError) as caught:
            imap_capabilities(lines)
        assert caught.value.failure is Failure.MALFORMED


def test_pop3_says():
    """+OK, -ERR, or it is not POP3."""
    assert pop3_says_yes("+OK ready")
    assert not pop3_says_yes("-ERR [SYS/TEMP] later")
    with pytest.raises(TargetError) as caught:
        pop3_says_yes("+OKAY")
    assert str(caught.value) == "found '+OKAY', expected +OK"


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_lines_do_not_depend_on_how_they_came(data, cuts):
    """However the bytes are cut on the way, the same lines are taken and the same rest is left."""
    lines = Lines()
    taken = []
    at = 0
    for end in [*sorted(cuts), len(data)]:
        lines.feed(data[at:end])
        at = max(at, end)
        while (line := lines.take()) is not None:
            taken.append(line)

    whole, _, rest = data.rpartition(b"\n")
    expected = whole.split(b"\n") if b"\n" in data else []
    assert taken == [each.removesuffix(b"\r").decode("utf-8", "replace") for each in expected]
    if rest:
        with pytest.raises(TargetError) as caught:
            lines.refuse_more()
        assert str(caught.value) == f"found {len(rest)} bytes after the reply that nobody asked for"
    else:
        lines.refuse_more()


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_no_line_without_end(end):
    """A line is held only as far as the bound, whether its end came or not."""
    lines = Lines()
    lines.feed(b"x" * (LINE_BYTES - 1) + b"\n")
    assert lines.take() == "x" * (LINE_BYTES - 1)
    lines.feed(b"x" * (LINE_BYTES + 1) + end)
    with pytest.raises(TargetError) as caught:
        lines.take()

    assert caught.value.failure is Failure.TOO_LARGE
    assert str(caught.value) == f"a line is longer than {LINE_BYTES} bytes"


def test_no_lines_without_end():
    """A server that never finishes is heard only so long."""
    lines = Lines()
    lines.feed(b"250-x\r\n" * (LINES + 1))
    for _ in range(LINES):
        assert lines.take() == "250-x"
    with pytest.raises(TargetError) as caught:
        lines.take()

    assert caught.value.failure is Failure.TOO_LARGE
