"""Acts: what was done about an incident, in the order it was done, and where that leaves it. Pure.

An incident's standing is read from its acts alone. Acts are only ever added, so the standing
survives restarts and the history is its own audit. The centre acts too: it raises the tier when
nobody acknowledges, and it notes when an incident begins within a maintenance window.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "acknowledged",
    "taken_back",
    "assigned",
    "noted",
    "handed_over",
    "escalated",
    "maintenance",
    "maintenance_over",
]
LONGEST_NAME = 60
LONGEST_TEXT = 1_000


class ActError(Exception):
    """An act that cannot be done as things stand; `word` is one of the wall's `act_refusals`."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Act(Struct, frozen=True, kw_only=True):
    """One thing done."""

    incident: str
    at: float
    """Centre's time."""
    kind: Kind
    who: str = ""
    """A name as it was typed; "" where the centre acted by itself."""
    address: str = ""
    """Where the request came from: while there are no accounts, the only thing not typed."""
    text: str = ""
    """A note; of maintenance, the window's name."""
    to: str = ""
    """assigned, handed_over: a person. escalated: a key of on_call. maintenance: a window."""
    tier: int = 0
    """escalated: the tier from then on."""


class Standing(Struct, frozen=True, kw_only=True):
    """Where its acts leave an incident."""

    acknowledged: Act | None = None
    """The acknowledgement in force."""
    holder: str = ""
    """Who is on it; "" for nobody."""
    escalated: Act | None = None
    """The last time its tier was raised; tiers never fall."""
    maintenance: Act | None = None
    """In force: it is not paged."""
    waiting_since: float | None = None
    """When the wait for an acknowledgement began anew; None: when it was opened."""


def standing_of(acts: Iterable[Act]) -> Standing:
    """Return where acts leave an incident; oldest first."""
    acknowledged = escalated = maintenance = None
    holder, waiting_since = "", None
    for act in acts:
        match act.kind:
            case "acknowledged":
                acknowledged, holder = act, act.who
            case "taken_back":
                acknowledged, holder, waiting_since = None, "", act.at
            case "assigned" | "handed_over":
                holder = act.to
            case "escalated":
                escalated, waiting_since = act, act.at
            case "maintenance":
                maintenance = act
            case "maintenance_over":
                maintenance, waiting_since = None, act.at
            case "noted":
                pass
    return Standing(
        acknowledged=acknowledged,
        holder=holder,
        escalated=escalated,
        maintenance=maintenance,
        waiting_since=waiting_since,
    )


def same_person(one: str, other: str) -> bool:
    """Whether two names mean one person: case and the way letters are composed do not matter."""
    return _folded(one) == _folded(other)


def check_act(act: Act, before: Sequence[Act], *, closed: bool, holder: str | None = None) -> None:
    """Raise ActError where an act makes no sense. `holder`: who the person was shown to be on it."""
    standing = standing_of(before)
    if not act.who:
        raise ActError("no_name")
    if closed and act.kind != "noted":
        raise ActError("closed")
    if act.kind in {"assigned", "handed_over"} and not act.to:
        raise ActError("no_receiver")
    if act.kind == "noted" and not act.text:
        raise ActError("no_text")
    if act.kind == "taken_back" and standing.acknowledged is None:
        raise ActError("not_acknowledged")
    if act.kind != "noted" and holder is not None and not same_person(holder, standing.holder):
        raise ActError("meanwhile")


def cleaned(text: str, longest: int) -> str:
    """Return what a person typed: one spelling of each letter, no control characters, not too long."""
    shown = unicodedata.normalize("NFC", text)
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Cf"} else c for c in shown)
    return " ".join(plain.split())[:longest].rstrip()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()
