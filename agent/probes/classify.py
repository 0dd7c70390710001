"""Exception -> Failure, in one table; the most specific row wins."""

import asyncio
import errno
import os
import socket
import ssl

import aiohttp
from aiohttp.http import HttpProcessingError

from agent.probes.base import ProbeError, TargetError
from agent.wire import Failure

# Errors of the machine we run on: nothing was learned about the target.
OURS = {
    errno.EPERM: "not permitted here",
    errno.EADDRNOTAVAIL: "no address or port of this machine to send from",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOBUFS: "no buffer space",
    errno.ENODEV: "no such interface",
    errno.ENOMEM: "out of memory",
    errno.EAFNOSUPPORT: "this address family is not available here",
    errno.EINVAL: "a route of this machine leads nowhere, or the address lacks its interface",
}
BY_ERRNO = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ENOPROTOOPT: Failure.REFUSED,  # ICMP: protocol unreachable
    errno.ECONNRESET: Failure.RESET,
    errno.EPIPE: Failure.RESET,
    errno.ECONNABORTED: Failure.RESET,
    errno.ENETRESET: Failure.RESET,
    errno.ENOTCONN: Failure.RESET,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENONET: Failure.HOST_UNREACHABLE,  # ICMP: source host isolated
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_UNREACHABLE,
    errno.EACCES: Failure.PROHIBITED,  # ICMPv6: administratively prohibited (IPv4's: EHOSTUNREACH)
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
    (HttpProcessingError, Failure.MALFORMED),
    (aiohttp.TooManyRedirects, Failure.HTTP_REDIRECT),
    (aiohttp.ClientResponseError, Failure.MALFORMED),
    (aiohttp.ClientPayloadError, Failure.MALFORMED),  # one that was cut off is an EOFError
    (aiohttp.UploadAbortedError, Failure.CLOSED),
    (aiohttp.InvalidURL, Failure.HTTP_REDIRECT),  # ours are checked when configured: a redirect's
    (aiohttp.NonHttpUrlClientError, Failure.HTTP_REDIRECT),
    (aiohttp.RedirectClientError, Failure.HTTP_REDIRECT),
    (aiohttp.ServerFingerprintMismatch, Failure.TLS_UNTRUSTED),
    (ConnectionResetError, Failure.RESET),
    (ConnectionRefusedError, Failure.REFUSED),
    (aiohttp.ClientConnectionError, Failure.CLOSED),
    (asyncio.LimitOverrunError, Failure.TOO_LARGE),
    (EOFError, Failure.CLOSED),  # asyncio.IncompleteReadError is one
)


def classify(exc: BaseException) -> tuple[Failure, str]:
    """Return what an exception says about the target, and a detail for people.

    Raises ProbeError (from `exc`) where it says something about this machine instead. What no row
    covers becomes `unknown` with the exception's own name, so that the gap can be seen and closed.
    """
    detail = " ".join(str(exc).split()) or type(exc).__name__
    if isinstance(exc, TargetError):
        return exc.failure, detail
    if isinstance(exc, aiohttp.ClientConnectorError):
        return classify(exc.os_error)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return BY_VERIFY_CODE.get(exc.verify_code, Failure.TLS_UNTRUSTED), exc.verify_message
    if isinstance(exc, ssl.SSLError) and getattr(exc, "reason", None):
        detail = exc.reason.replace("_", " ").lower()
    if isinstance(exc, HttpProcessingError) and exc.message:
        detail = " ".join(exc.message.split())
    if isinstance(exc, socket.gaierror):
        return BY_EAI.get(exc.errno or 0, Failure.RESOLVE_UNAVAILABLE), exc.strerror or detail
    if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) and exc.errno is not None:
        if exc.errno in OURS:
            raise ProbeError(f"{OURS[exc.errno]} ({detail})") from exc
        if exc.errno in BY_ERRNO:
            return BY_ERRNO[exc.errno], os.strerror(exc.errno)  # asyncio's own text hides it
    named = next((failure for kind, failure in BY_TYPE if isinstance(exc, kind)), None)
    return (named, detail) if named else (Failure.UNKNOWN, f"{type(exc).__name__}: {detail}")
