"""Exception -> Failure, in one table; the most specific row wins."""

import asyncio
import errno
import socket
import ssl

import aiohttp

from agent.probes.base import ProbeError
from agent.wire import Failure

# Errors of the machine we run on: nothing was learned about the target.
OURS = {
    errno.EACCES: "not permitted here",
    errno.EPERM: "not permitted here",
    errno.EADDRNOTAVAIL: "the line's source address is not on this machine",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOBUFS: "no buffer space",
    errno.ENODEV: "no such interface",
    errno.ENOMEM: "out of memory",
    errno.EAFNOSUPPORT: "this address family is not available here",
}
BY_ERRNO = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNRESET: Failure.RESET,
    errno.EPIPE: Failure.RESET,
    errno.ECONNABORTED: Failure.RESET,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_UNREACHABLE,
    errno.EPROTO: Failure.MALFORMED,
}
BY_EAI = {
    socket.EAI_NONAME: Failure.RESOLVE_FAILED,
    socket.EAI_NODATA: Failure.RESOLVE_FAILED,
    socket.EAI_ADDRFAMILY: Failure.RESOLVE_FAILED,
}
# X509_V_ERR_* of OpenSSL's x509_vfy.h
BY_VERIFY_CODE = {
    9: Failure.TLS_NOT_YET_VALID,
    10: Failure.TLS_EXPIRED,
    62: Failure.TLS_WRONG_NAME,
    64: Failure.TLS_WRONG_NAME,
}
BY_TYPE: tuple[tuple[type[BaseException], Failure], ...] = (
    (TimeoutError, Failure.TIMEOUT),
    (ssl.SSLError, Failure.TLS_HANDSHAKE),
    (ssl.CertificateError, Failure.TLS_WRONG_NAME),
    (aiohttp.TooManyRedirects, Failure.HTTP_REDIRECT),
    (aiohttp.ServerDisconnectedError, Failure.CLOSED),
    (aiohttp.ClientPayloadError, Failure.CLOSED),
    (aiohttp.ClientResponseError, Failure.MALFORMED),
    (aiohttp.InvalidURL, Failure.HTTP_REDIRECT),  # ours are checked when configured: a redirect's
    (asyncio.IncompleteReadError, Failure.CLOSED),
    (asyncio.LimitOverrunError, Failure.TOO_LARGE),
    (ConnectionResetError, Failure.RESET),
    (ConnectionRefusedError, Failure.REFUSED),
    (EOFError, Failure.CLOSED),
)


def classify(exc: BaseException) -> tuple[Failure, str]:
    """Return what an exception says about the target, and a detail for people.

    Raises ProbeError (from `exc`) where it says something about this machine instead. What no row
    covers becomes `unknown` with the exception's own name, so that the gap can be seen and closed.
    """
    detail = str(exc) or type(exc).__name__
    if isinstance(exc, ssl.SSLCertVerificationError):
        return BY_VERIFY_CODE.get(exc.verify_code, Failure.TLS_UNTRUSTED), exc.verify_message
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure.TLS_HANDSHAKE, detail
    if isinstance(exc, socket.gaierror):
        return BY_EAI.get(exc.errno or 0, Failure.RESOLVE_UNAVAILABLE), exc.strerror or detail
    if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) and exc.errno is not None:
        if exc.errno in OURS:
            raise ProbeError(f"{OURS[exc.errno]} ({detail})") from exc
        if exc.errno in BY_ERRNO:
            return BY_ERRNO[exc.errno], exc.strerror or detail
    for kind, failure in BY_TYPE:
        if isinstance(exc, kind):
            return failure, detail
    return Failure.UNKNOWN, f"{type(exc).__name__}: {detail}"
