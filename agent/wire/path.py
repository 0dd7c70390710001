"""Path: the way to a target hop by hop, as short text that people and programs both read.

    tcp 203.0.113.9 443
    1 192.168.1.1 0.4 0.5
    2 10.20.0.1 3.1 *
    3-20 *

A head, then a line per hop and router: how many hops away, who answered, the round trips of its
answers in ms, a `*` for each probe that nobody answered, and a word where the way ends: `answered`
by the target, or a `Failure` (`host_unreachable`, `refused` …). Hop 0, `here`, is this PC itself.
"""

import re
from typing import Literal

from msgspec import Struct

ANSWERED = "answered"
HERE = "here"

Protocol = Literal["icmp", "tcp", "udp"]

_HEAD = re.compile(r"(icmp|tcp|udp) ([0-9A-Za-z:.%_-]{1,64})(?: (\d{1,5}))?")
_HOP = re.compile(
    r"(\d{1,3})(?:-(\d{1,3}))?(?: ([0-9A-Za-z:.%_-]{2,64}))?"
    r"((?: \d{1,6}(?:\.\d{1,3})?)*)((?: \*)*)(?: ([a-z_]{2,64}))?"
)
_PROTOCOLS: dict[str, Protocol] = {"icmp": "icmp", "tcp": "tcp", "udp": "udp"}


class Hop(Struct, frozen=True):
    """What one router did with the probes that may travel so far and no further."""

    ttl: int
    router: str = ""
    """Who answered; "" where nobody did."""
    ms: tuple[float, ...] = ()
    lost: int = 0
    """Probes that nobody answered."""
    word: str = ""
    """Why the way ends here; "" where it goes on, or where nothing is known."""
    last_ttl: int = 0
    """Of a row of silent hops; 0 for one hop."""


class Path(Struct, frozen=True):
    """Where the probes went."""

    protocol: Protocol
    address: str
    port: int = 0
    """0 where the protocol has none."""
    hops: tuple[Hop, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the target itself answered something."""
        return any(hop.word == ANSWERED or hop.router == self.address for hop in self.hops)

    @property
    def last(self) -> Hop | None:
        """The furthest hop that somebody answered from."""
        return next((hop for hop in reversed(self.hops) if hop.router), None)


def write_path(path: Path) -> str:
    """Return a path as text, silent neighbours in one line."""
    head = f"{path.protocol} {path.address}" + (f" {path.port}" if path.port else "")
    lines = [head]
    silent: list[Hop] = []
    for hop in (*path.hops, None):
        if hop is not None and not hop.router and not hop.word:
            silent.append(hop)
            continue
        if silent:
            first, last = silent[0].ttl, silent[-1].last_ttl or silent[-1].ttl
            lines.append(f"{first} *" if first == last else f"{first}-{last} *")
            silent = []
        if hop is not None:
            words = (str(hop.ttl), hop.router, *(f"{ms:.1f}" for ms in hop.ms), *"*" * hop.lost)
            lines.append(" ".join(word for word in (*words, hop.word) if word))
    return "\n".join(lines)


def read_path(text: str) -> Path | None:
    """Return the path a text tells of; None where it is none (`not traced: …`)."""
    head, *lines = text.split("\n")
    found = _HEAD.fullmatch(head)
    hops = [_HOP.fullmatch(line) for line in lines]
    if found is None:
        return None
    return Path(
        protocol=_PROTOCOLS[found[1]],
        address=found[2],
        port=int(found[3] or 0),
        hops=tuple(_hop(hop) for hop in hops if hop is not None),
    )


def _hop(found: re.Match[str]) -> Hop:
    ttl, last, router, ms, lost, word = found.groups(default="")
    return Hop(
        ttl=int(ttl),
        router=router,
        ms=tuple(float(number) for number in ms.split()),
        lost=lost.count("*"),
        word=word,
        last_ttl=int(last or 0),
    )
