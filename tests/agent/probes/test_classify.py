"""Every exception a probe can meet has a word, or is known to be our own fault."""

import asyncio
import errno
import os
import socket
import ssl

import aiohttp
import pytest
from aiohttp import http_exceptions
from aiohttp.http import HttpProcessingError

from agent.probes.base import ProbeError, TargetError
from agent.probes.classify import BY_ERRNO, OURS, classify
from agent.wire import Failure

# What connect, send and recv may say of the far side or of this machine: connect(2), send(2),
# recv(2), tcp(7), and what the kernel makes of ICMP errors (icmp_err_convert, icmpv6_err_convert)
ERRNOS = """
    ECONNREFUSED ECONNRESET ECONNABORTED EPIPE ENOTCONN ETIMEDOUT ENETRESET EPROTO
    EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN ENONET ENOPROTOOPT EACCES
    EPERM EADDRNOTAVAIL EMFILE ENFILE ENOBUFS ENOMEM ENODEV EAFNOSUPPORT EINVAL
"""


def family(kind: type[BaseException]) -> set[type[BaseException]]:
    """Return a class and all that are made from it."""
    return {kind}.union(*(family(each) for each in kind.__subclasses__()))


def bare(kind: type[BaseException]) -> BaseException:
    """Return an exception of a kind that has nothing to say, whatever its constructor wants."""
    silent = {"__init__": lambda self: None, "__str__": lambda self: ""}
    return type(kind.__name__, (kind,), silent)()


AIOHTTP = family(aiohttp.ClientError) | family(HttpProcessingError)
AIOHTTP -= {aiohttp.ClientError}  # only its descendants are raised
CONNECTOR = family(aiohttp.ClientConnectorError)


@pytest.mark.parametrize("name", ERRNOS.split())
def test_every_errno(name):
    """Each error number of the network is a failure of the target or an error of ours."""
    number = getattr(errno, name)
    flown = OSError(number, "said the kernel")
    if number in OURS:
        with pytest.raises(ProbeError) as caught:
            classify(flown)
        assert str(caught.value) == f"{OURS[number]} ([Errno {number}] said the kernel)"
    else:
        assert classify(flown) == (BY_ERRNO[number], os.strerror(number))


def test_tables_say_no_more_than_they_must():
    """No error number stands in both tables, and none without a reason to be met."""
    assert not OURS.keys() & BY_ERRNO.keys()
    assert OURS.keys() | BY_ERRNO.keys() == {getattr(errno, name) for name in ERRNOS.split()}


@pytest.mark.parametrize("kind", sorted(AIOHTTP - CONNECTOR, key=str))
def test_every_exception_of_aiohttp(kind):
    """Nothing that aiohttp raises is unknown: a class that it gains makes this fail."""
    assert classify(bare(kind))[0] is not Failure.UNKNOWN


@pytest.mark.parametrize("kind", sorted(CONNECTOR, key=str))
def test_what_aiohttp_wraps(kind):
    """Where aiohttp could not connect, the error inside is what counts."""
    wrapping = bare(kind)
    wrapping._os_error = ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    assert classify(wrapping) == (Failure.REFUSED, "Connection refused")


@pytest.mark.parametrize("kind", sorted(family(ssl.SSLError) - CONNECTOR, key=str))
def test_every_exception_of_ssl(kind):
    """A handshake that failed is one of the TLS failures."""
    flown = kind(1, "said OpenSSL")
    if kind is ssl.SSLCertVerificationError:
        flown.verify_code, flown.verify_message = 20, "unable to get local issuer certificate"

    assert classify(flown)[0] in {Failure.TLS_HANDSHAKE, Failure.TLS_UNTRUSTED}


@pytest.mark.parametrize("number", [getattr(socket, n) for n in dir(socket) if n[:4] == "EAI_"])
def test_every_error_of_the_resolver(number):
    """A name that does not exist is told from a resolver that cannot be asked."""
    none = {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY}
    expected = Failure.RESOLVE_FAILED if number in none else Failure.RESOLVE_UNAVAILABLE

    assert classify(socket.gaierror(number, "said libc")) == (expected, "said libc")


@pytest.mark.parametrize(
    ("flown", "failure", "detail"),
    [
        (TimeoutError(), Failure.TIMEOUT, "TimeoutError"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), Failure.TIMEOUT, "Connection timed out"),
        (EOFError("closed early"), Failure.CLOSED, "closed early"),
        (asyncio.LimitOverrunError("too long", 9), Failure.TOO_LARGE, "too long"),
        (
            http_exceptions.BadStatusLine("no\nHTTP"),
            Failure.MALFORMED,
            "Bad status line 'no\\nHTTP'",
        ),
        (
            asyncio.IncompleteReadError(b"ab", 4),
            Failure.CLOSED,
            "2 bytes read on a total of 4 expected bytes",
        ),
        (
            TargetError(Failure.STATUS, "found 554, expected 220"),
            Failure.STATUS,
            "found 554, expected 220",
        ),
        (ZeroDivisionError("a\nbug"), Failure.UNKNOWN, "ZeroDivisionError: a bug"),
    ],
)
def test_other_exceptions(flown, failure, detail):
    """The rest has its word and one line for people; a gap in the table shows with its name."""
    assert classify(flown) == (failure, detail)


def test_openssl_speaks_plainly():
    """OpenSSL's reason is told without its brackets and line numbers."""
    incoming = ssl.MemoryBIO()
    incoming.write(b"220 mail.test ESMTP\r\n")
    session = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        incoming, ssl.MemoryBIO(), server_hostname="mail.test"
    )
    with pytest.raises(ssl.SSLError) as caught:
        session.do_handshake()

    assert classify(caught.value) == (Failure.TLS_HANDSHAKE, "wrong version number")
