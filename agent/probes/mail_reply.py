"""Replies of mail servers, read line by line: SMTP (RFC 5321 4.2), IMAP (RFC 9051), POP3 (RFC 1939).

Pure. Whatever a server should not have said is a TargetError that says what was found.
"""

import re

from agent.probes.base import TargetError
from agent.wire import Failure

LINE_BYTES = 8192
"""Longest line taken; IMAP's may be so long (RFC 7162 4), SMTP's need 512 (RFC 5321 4.5.3.1.5)."""
LINES = 200
"""Most lines taken of one attempt; a talkative server says about 30."""

SMTP_LINE = re.compile(r"([2-5][0-5][0-9])(?:([ -])(.*))?")
# Firewalls that inspect SMTP write over what they do not let pass: STARTTLS becomes XXXXXXXA
OVERWRITTEN = re.compile(r"X{7}[AX]")


class Lines:
    """Cuts what comes into lines; a bare LF ends one too."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._came += data

    def take(self) -> str | None:
        """Return the next whole line without its end, None while there is none."""
        end = self._came.find(b"\n")
        if max(end, len(self._came) if end < 0 else 0) > LINE_BYTES:
            raise TargetError(Failure.TOO_LARGE, f"a line is longer than {LINE_BYTES} bytes")
        if end < 0:
            return None
        self._taken += 1
        if self._taken > LINES:
            raise TargetError(Failure.TOO_LARGE, f"the replies have more than {LINES} lines")
        line = self._came[:end].removesuffix(b"\r").decode("utf-8", "replace")
        del self._came[: end + 1]
        return line

    def refuse_more(self) -> None:
        """Raise where something follows the reply that was taken: nobody has asked for it."""
        if self._came:
            more = f"found {len(self._came)} bytes after the reply that nobody asked for"
            raise TargetError(Failure.MALFORMED, more)


def smtp_line(line: str) -> tuple[int, str, bool]:
    """Return a reply line's code, its text, and whether another line follows."""
    read = SMTP_LINE.fullmatch(line)
    if read is None:
        raise malformed(line, "a reply such as 220")
    return int(read[1]), read[3] or "", read[2] == "-"


def require_starttls(texts: list[str]) -> None:
    """Raise where the reply to EHLO does not offer STARTTLS (RFC 3207 2)."""
    keywords = {text.partition(" ")[0].upper() for text in texts[1:]}
    if "STARTTLS" in keywords:
        return
    detail = "found no STARTTLS in the reply to EHLO"
    written_over = sorted(word for word in keywords if OVERWRITTEN.fullmatch(word))
    if written_over:
        detail += f" but {written_over[0]}: a firewall on the way writes over it"
    raise TargetError(Failure.NOT_OFFERED, detail)


def imap_greeting(line: str) -> None:
    """Raise where the first line of an IMAP server is not a welcome; PREAUTH is one."""
    words = line.upper().split(" ")
    if words[:2] == ["*", "BYE"]:
        raise status(line, "* OK")
    if words[:2] not in (["*", "OK"], ["*", "PREAUTH"]):
        raise malformed(line, "* OK")


def imap_is_last(line: str, tag: str, *, leaving: bool = False) -> bool:
    """Whether a line ends the reply to the command of this tag; raises where that was refused.

    Only `leaving` may the server say BYE.
    """
    words = line.upper().split(" ")
    if words[0] == "*":
        if words[1:2] == ["BYE"] and not leaving:
            raise status(line, f"{tag} OK")
        return False
    if words[0] != tag.upper() or words[1:2] not in (["OK"], ["NO"], ["BAD"]):
        raise malformed(line, f"{tag} OK")
    if words[1] != "OK":
        raise status(line, f"{tag} OK")
    return True


def imap_capabilities(lines: list[str]) -> None:
    """Raise where an IMAP server does not say which IMAP it speaks (RFC 9051 6.1.1)."""
    for line in lines:
        words = line.upper().split()
        if words[:2] == ["*", "CAPABILITY"]:
            if {"IMAP4REV1", "IMAP4REV2"}.isdisjoint(words):
                raise malformed(line, "IMAP4rev1 or IMAP4rev2")
            return
    raise TargetError(Failure.MALFORMED, "found no capabilities, expected * CAPABILITY")


def pop3_says_yes(line: str) -> bool:
    """Whether a POP3 reply is +OK; -ERR is the other one."""
    word = line.partition(" ")[0].upper()
    if word not in {"+OK", "-ERR"}:
        raise malformed(line, "+OK")
    return word == "+OK"


def malformed(line: str, expected: str) -> TargetError:
    """Return the error for a line that is none of the protocol's."""
    return TargetError(Failure.MALFORMED, f"found {shown(line)!r}, expected {expected}")


def status(line: str, expected: str) -> TargetError:
    """Return the error for a line that says no."""
    return TargetError(Failure.STATUS, f"found {shown(line)}, expected {expected}")


def shown(line: str) -> str:
    """Return a line as people may be shown it: printable, and not longer than a detail."""
    return "".join(letter if letter.isprintable() else "?" for letter in line[:120])
