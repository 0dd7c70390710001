"""Failure: the closed list of reasons why a target did not do what was asked of it."""

from enum import StrEnum
from typing import Self


class Failure(StrEnum):
    """One word for what the target (or the way to it) did wrong.

    Ours never stand here: not being able to measure is an error, kept apart in `Sample.error`.
    A new word is a new line and a CHANGELOG entry; a word never changes its meaning.
    """

    def __new__(cls, value: str, meaning: str) -> Self:
        """Keep the meaning beside the word, so that no second list of words exists."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    RESOLVE_FAILED = "resolve_failed", "the system's resolver knows no address for the name"
    RESOLVE_UNAVAILABLE = "resolve_unavailable", "the system's resolver could not be asked"
    TIMEOUT = "timeout", "no answer before the deadline"
    REFUSED = "refused", "the target answered that nothing listens there"
    RESET = "reset", "the target broke the connection"
    CLOSED = "closed", "the target closed the connection before it had answered"
    HOST_UNREACHABLE = "host_unreachable", "a router answered that the host cannot be reached"
    NETWORK_UNREACHABLE = "network_unreachable", "no route leads there"
    PROHIBITED = "prohibited", "a filter on the way answered that this is not allowed"
    TTL_EXCEEDED = "ttl_exceeded", "the way goes in a circle or is too long"
    LOSS = "loss", "more packets were lost than the check allows"
    MALFORMED = "malformed", "the answer does not follow its protocol"
    TOO_LARGE = "too_large", "the answer is larger than the check allows"
    TLS_HANDSHAKE = "tls_handshake", "no TLS session could be agreed on"
    TLS_UNTRUSTED = "tls_untrusted", "the certificate comes from no issuer trusted here"
    TLS_EXPIRED = "tls_expired", "a certificate of the chain is past its last day"
    TLS_NOT_YET_VALID = (
        "tls_not_yet_valid",
        "a certificate's first day lies ahead (or our clock is wrong)",
    )
    TLS_WRONG_NAME = "tls_wrong_name", "the certificate was issued for another name"
    HTTP_STATUS = "http_status", "the status code is not one the check accepts"
    HTTP_REDIRECT = "http_redirect", "too many redirects, or one that is not allowed"
    HTTP_BODY = (
        "http_body",
        "a text that must be on the page is missing, or a forbidden one is there",
    )
    DNS_NXDOMAIN = "dns_nxdomain", "the resolver says that the name does not exist"
    DNS_SERVFAIL = "dns_servfail", "the resolver says that it failed"
    DNS_REFUSED = "dns_refused", "the resolver will not answer us"
    DNS_RCODE = "dns_rcode", "the resolver answered with another error code"
    DNS_NO_ANSWER = "dns_no_answer", "the name exists but has no such record"
    DNS_WRONG_ANSWER = "dns_wrong_answer", "the addresses are not those expected"
    STATUS = "status", "the answer's code says no"
    NOT_OFFERED = "not_offered", "the target does not offer what the check needs"
    UNSYNCHRONISED = "unsynchronised", "the time server says that it does not know the time"
    BAD_SIGNATURE = "bad_signature", "the answer is not signed by whom it should be"
    OUTDATED = "outdated", "the answer is older than it says it may be"
    STALLED = "stalled", "the live stream makes no progress"
    ENDED = "ended", "the live stream says that it has ended"
    TOO_SLOW = "too_slow", "the data comes slower than it is needed"
    MTU_BLACKHOLE = "mtu_blackhole", "large packets vanish without a word, small ones pass"
    NO_LINK = "no_link", "the PC's network interface has no link"
    REACHABLE = "reachable", "what must not answer from here answered"
    UNKNOWN = "unknown", "a kind of failure this list does not have yet; see the detail"
