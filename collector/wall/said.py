"""What an agent said of a failure, in the reader's words. Pure.

Only what has a form of ours (agent/findings.py, agent/runner.py) is put into words, whole. All else
is the agent's own English: it is quoted as it is, never translated piece by piece.
"""

import errno
import os
import re
from dataclasses import dataclass

from collector.wall.forms import number
from collector.wall.locale.texts import Texts

IN_PHASE = re.compile(r"in phase (\w+)(?:: (.+))?")
REMARKS = {
    "no answer to echoes": re.compile(r"no answer to (?P<n>\d{1,9}) (?:small )?echoes"),
    "no answer within": re.compile(r"no answer within (?P<n>\d{1,9}(?:\.\d{1,9})?) s"),
    "echoes lost": re.compile(
        r"(?P<n>\d{1,9}) of (?P<of>\d{1,9}) echoes lost, (?P<most>\d+%) allowed"
    ),
}
# What the system says of an error adds nothing to the failure's own name.
SYSTEMS_WORDS = frozenset(
    {
        *(os.strerror(code) for code in errno.errorcode),
        "Name or service not known",
        "No address associated with hostname",
        "Temporary failure in name resolution",
    }
)
GATEWAY = re.compile(r"(\S+) (\S+): (.*); arp (\S+)")
ANSWERED = re.compile(r"answered in (\d{1,9}\.\d) ms")
NO_PING = "no ping"
NOT_KNOWN = frozenset({"incomplete", "unknown"})
LINE = re.compile(r"([^:]+): (failing|ok), last push (?:never|(\d+) s ago)(?:: (.+))?")
RESOLVER = re.compile(r"(\S+): (.+)")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the PC found of the router on the spot."""

    address: str
    answers: bool
    """A ping."""
    in_arp: bool
    """Whether ARP knows it: it was there some seconds ago."""


def read_gateway(text: str) -> Gateway | None:
    """Return what a text tells of the gateway; None where nothing was found."""
    found = GATEWAY.fullmatch(text)
    if found is None:
        return None
    address, _, ping, arp = found.groups()
    return Gateway(address, ANSWERED.fullmatch(ping) is not None, arp not in NOT_KNOWN)


def failed(word: str, detail: str, texts: Texts) -> tuple[str, str]:
    """Return a failure by its own name, and what is left of the detail: the agent's own words."""
    said = texts.failures.get(word, texts.failures["unknown"])
    in_phase = IN_PHASE.fullmatch(detail)
    if in_phase is not None:
        name, detail = in_phase[1], in_phase[2] or ""
        said = f"{said} ({texts.in_phase.format(phase=texts.phases.get(name, name))})"
    for remark, form in REMARKS.items():
        found = form.fullmatch(detail)
        if found is not None:
            numbers = {
                name: text.replace(".", texts.decimal_mark)
                for name, text in found.groupdict().items()
            }
            return f"{said}: {texts.remarks[remark].format(**numbers)}", ""
    known = word in texts.failures and word != "unknown"
    return said, "" if known and detail in SYSTEMS_WORDS else detail


def reason(text: str, texts: Texts) -> str:
    """Say why something could not be seen or sent: `timeout`, `refused: …`, `not measured: …`."""
    return _known(text, texts) or quoted(text)


def quoted(text: str) -> str:
    """Set the agent's own words apart."""
    return f"“{text}”"


def _known(text: str, texts: Texts) -> str:
    head, _, rest = text.partition(": ")
    if head in texts.failures:
        said, detail = failed(head, rest, texts)
        return f"{said}: {quoted(detail)}" if detail else said
    if head in texts.evidence_words:
        said = texts.evidence_words[head]
        return f"{said}: {reason(rest, texts)}" if rest else said
    return texts.evidence_words.get(text.partition(" (")[0], "")


def gateway(text: str, texts: Texts) -> str:
    """Say how the gateway was found."""
    found = GATEWAY.fullmatch(text)
    if found is None:
        return reason(text, texts)
    address, interface, ping, arp = found.groups()
    words = texts.evidence_words
    answered = ANSWERED.fullmatch(ping)
    if answered is None:
        ping = reason(ping, texts)
    else:
        ping = f"{words['answered in']} {number(float(answered[1]), texts, places=1)} ms"
    arp = words.get(f"arp {arp}") or f"{words['arp']} {arp}"
    return f"{address} {interface}: {ping}; {arp}"


def line(text: str, texts: Texts) -> str:
    """Say how the pushes over one line fared."""
    found = LINE.fullmatch(text)
    if found is None:
        return reason(text, texts)
    name, state, seconds, why = found.groups()
    words = texts.evidence_words
    last = texts.seconds_ago.format(n=seconds) if seconds else words["never"]
    said = f"{name}: {words[f'{state}, last push']} {last}"
    return f"{said}: {reason(why, texts)}" if why else said


def resolvers(text: str, texts: Texts) -> tuple[str, ...]:
    """Say what each resolver answered; what it answered stays as it is."""
    question, *answers = text.split("\n")
    if not answers:
        return (_known(question, texts) or question,)
    return (question, *(_resolver(answer, texts) for answer in answers))


def _resolver(text: str, texts: Texts) -> str:
    found = RESOLVER.fullmatch(text)
    if found is None:
        return text
    return f"{found[1]}: {_known(found[2], texts) or found[2]}"
