"""What a page says, as values: ready texts, and moments where an age will be counted from.

Nothing here changes by the passing of time alone but `now`, `heard` and `clock`: two pages with
equal parts need no word sent between them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a sentence; `state` where it is the state's words, else empty."""

    text: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """The part of the event that is on, or the next one."""

    name: str
    before: str
    """Text in front of the counted time, and `after` behind it."""
    after: str
    at: float
    """When it began, or will."""
    ahead: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many communes are in a state."""

    state: str
    n: int
    word: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One place."""

    id: str
    short: str
    roomy: str
    """The name where a tile is wide."""
    full: str
    state: str
    word: str
    since: float | None
    """What its age is counted from; None where it has none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Places that stand together: of one former province, or all that are no communes."""

    title: str
    note: str
    count: str
    tiles: tuple[Tile, ...]
    wide: bool
    """Long names: two columns to a tile."""


@dataclass(frozen=True, slots=True)
class Card:
    """Open incidents of one cause."""

    state: str
    since: float
    """When the first of them began; `at` says it in words."""
    at: str
    what: str
    scope: str
    owner: str
    last: str
    """When the last of them began, in words; empty where all began together."""
    newest: bool
    """Whether nothing was opened after it."""
    evidence: str
    """Address of what was seen when it failed; empty where nothing was."""
    url: str
    """Of the incident's page, of the list where there are several."""
    taken: str
    """Who acknowledged all of them and when, or that it is maintenance; empty where one waits."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a meter, in per cent of its length."""

    state: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class SystemCount:
    """How many places can use a system, of those that measure it."""

    name: str
    good: int
    of: int
    failing: bool
    """Whether it fails anywhere, in part or whole."""
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after which data is called late, and the server lost."""

    late: float
    lost: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The province on one page."""

    lang: str
    now: float
    zone: float
    """Seconds that local time is ahead of UTC."""
    heard: float | None
    """When the newest data came; None when there is none."""
    limits: Limits
    clock: str
    date: str
    title: str
    province: str
    phase: Phase | None
    sentence: tuple[Piece, ...]
    proof: str
    region: str
    tally: tuple[Count, ...]
    show_all: str
    groups: tuple[Group, ...]
    columns: int | None
    """Tiles in a row of the wall; None when no number of columns makes it fit a screen."""
    incidents_title: str
    cards: tuple[Card, ...]
    cards_on_wall: int
    """So many have room there; `more_on_wall` says what was left out."""
    more_on_wall: str
    more_elsewhere: str
    systems: tuple[SystemCount, ...]
    systems_on_wall: int
    more_systems: str
