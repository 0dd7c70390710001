"""The ledger in words: of the whole province, and of one place. Pure.

Tables of ready texts, for the page and for the command alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from collector.inventory.model import Inventory
from collector.state.gaps import Cause, Gap
from collector.state.ledger import CheckLedger, SiteLedger
from collector.wall import forms
from collector.wall.locale import TEXTS
from collector.wall.locale.texts import Texts
from collector.wall.names import full_name

ACCOUNT = (
    "sealed",
    "stored",
    "pending",
    "dropped",
    "set_aside",
    "damaged",
    "memory",
    "unaccounted",
)
RUN_CHARACTERS = 8
"""Of a boot's 32: enough to tell an agent's runs apart."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One text of a table."""

    text: str
    number: bool = False
    link: str = ""
    state: str = ""
    """A state whose colour the text wears; "" where it is plain."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads."""

    title: str
    note: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""
    """What is said where there is no row."""


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A ledger as values."""

    lang: str
    title: str
    place: str
    window: str
    verdict: str
    state: str
    """`ok`, `degraded` or `down`: down where something is doubled or unaccounted for."""
    proofs: tuple[str, ...]
    tables: tuple[Table, ...]
    back: str
    back_text: str


def address_of(site: str = "", lang: str = "") -> str:
    """Return the address of a page."""
    return f"/ledger{'/' + quote(site, safe='') if site else ''}{'?lang=' + lang if lang else ''}"


def province_page(ledgers: Sequence[SiteLedger], inventory: Inventory, lang: str) -> LedgerPage:
    """Return the ledger of all places, those that lack most first."""
    texts = TEXTS[lang]
    heads = (
        "place",
        "expected",
        "stored",
        "complete",
        "missing",
        "pending",
        "doubled",
        "unaccounted",
    )
    worst = sorted(ledgers, key=lambda one: (-one.unaccounted - one.doubled, _share(one), one.site))
    rows = tuple(
        (
            Cell(_place(one.site, inventory, texts), link=address_of(one.site, lang)),
            _count(one.expected, texts),
            _count(one.stored, texts),
            _complete(one.complete, texts),
            Cell(_causes(one.missing, texts)),
            _count(one.pending, texts),
            _fault(one.doubled, texts),
            _fault(one.unaccounted, texts),
        )
        for one in worst
    )
    return _page(
        ledgers,
        inventory,
        texts,
        place=texts.province.format(name=getattr(inventory.name, lang)),
        tables=(Table(texts.ledger_places, "", _heads(heads, texts), rows),),
        back=("/", texts.evidence_back),
    )


def site_page(ledger: SiteLedger, inventory: Inventory, lang: str) -> LedgerPage:
    """Return the ledger of one place: its gaps, its checks, and the runs of its agents."""
    texts = TEXTS[lang]
    return _page(
        [ledger],
        inventory,
        texts,
        place=_place(ledger.site, inventory, texts),
        tables=(
            _gaps(ledger, inventory, texts),
            _checks(ledger, inventory, texts),
            _batches(ledger, texts),
        ),
        back=(address_of(), texts.ledger_back),
    )


def _page(
    ledgers: Sequence[SiteLedger],
    inventory: Inventory,
    texts: Texts,
    *,
    place: str,
    tables: tuple[Table, ...],
    back: tuple[str, str],
) -> LedgerPage:
    expected = sum(one.expected for one in ledgers)
    stored = sum(one.stored for one in ledgers)
    doubled = sum(one.doubled for one in ledgers)
    unaccounted = sum(one.unaccounted for one in ledgers)
    pending = sum(one.pending for one in ledgers)
    verdict = texts.ledger_nothing
    if expected:
        verdict = texts.ledger_verdict.format(
            complete=_percent(stored / expected, texts),
            stored=forms.number(stored, texts),
            expected=forms.number(expected, texts),
        )
    proofs = [
        _some(texts.ledger_doubled, doubled, texts) or texts.ledger_doubled_none,
        _some(texts.ledger_unaccounted, unaccounted, texts) or texts.ledger_unaccounted_none,
        _some(texts.ledger_pending, pending, texts),
    ]
    window = ""
    if ledgers:
        begin, end = (_moment(at, inventory) for at in (ledgers[0].begin, ledgers[0].end))
        window = texts.ledger_window.format(begin=begin, end=end)
    short = "degraded" if stored < expected else "ok"
    return LedgerPage(
        lang=texts.lang,
        title=texts.ledger_title,
        place=place,
        window=window,
        verdict=verdict,
        state="down" if doubled or unaccounted else short,
        proofs=tuple(filter(None, proofs)),
        tables=tables,
        back=back[0] + f"?lang={texts.lang}",
        back_text=back[1],
    )


def _some(text: str, number: int, texts: Texts) -> str:
    """Return a sentence about a number; "" where it is 0."""
    return forms.plural(text, number).format(n=forms.number(number, texts)) if number else ""


def _gaps(ledger: SiteLedger, inventory: Inventory, texts: Texts) -> Table:
    several = len(ledger.agents) > 1
    heads = (*(("agent",) * several), "begin", "end", "lasted", "cause", "batches")
    found = sorted(
        ((gap, agent.agent) for agent in ledger.agents for gap in agent.gaps),
        key=lambda pair: -pair[0].begin,
    )
    rows = tuple(
        (
            *((Cell(agent),) * several),
            Cell(_moment(gap.begin, inventory)),
            Cell(_moment(gap.end, inventory)),
            Cell(forms.span(gap.seconds, texts)),
            Cell(_cause(gap, texts), state="down" if gap.cause == "unknown" else ""),
            _count(gap.batches, texts) if gap.batches else Cell("", number=True),
        )
        for gap, agent in found
    )
    return Table(texts.ledger_gaps, "", _heads(heads, texts), rows, texts.ledger_no_gaps)


def _checks(ledger: SiteLedger, inventory: Inventory, texts: Texts) -> Table:
    heads = (
        "check",
        "expected",
        "stored",
        "complete",
        "missing",
        "made",
        "kept",
        "lost",
        "doubled",
    )
    rows = tuple(
        (
            Cell(_check_name(one, inventory, texts)),
            *_due(one, texts),
            Cell(_causes(one.missing, texts)),
            _count(one.made, texts),
            _count(one.stored, texts),
            _count(one.lost, texts),
            _fault(one.doubled, texts),
        )
        for one in sorted(ledger.checks, key=lambda one: (-sum(one.missing.values()), one.check))
    )
    return Table(texts.ledger_checks, texts.ledger_checks_note, _heads(heads, texts), rows)


def _due(one: CheckLedger, texts: Texts) -> tuple[Cell, ...]:
    if one.expected is None:
        return (Cell(texts.ledger_by_slot, number=True), _count(one.runs, texts), Cell(""))
    stored = one.expected - sum(one.missing.values())
    return (_count(one.expected, texts), _count(stored, texts), _complete(one.complete, texts))


def _batches(ledger: SiteLedger, texts: Texts) -> Table:
    rows = tuple(
        (
            Cell(agent.agent),
            Cell(account.boot[:RUN_CHARACTERS]),
            *(_count(getattr(account, word), texts) for word in ACCOUNT[:-1]),
            _fault(account.unaccounted, texts),
        )
        for agent in ledger.agents
        for account in reversed(agent.accounts)
    )
    heads = _heads(("agent", "run", *ACCOUNT), texts)
    return Table(texts.ledger_batches, texts.ledger_batches_note, heads, rows)


def _heads(words: Iterable[str], texts: Texts) -> tuple[Cell, ...]:
    plain = {"place", "check", "missing", "begin", "end", "lasted", "cause", "agent", "run"}
    return tuple(Cell(texts.ledger_heads[word], number=word not in plain) for word in words)


def _count(number: int, texts: Texts) -> Cell:
    return Cell(forms.number(number, texts), number=True)


def _fault(number: int, texts: Texts) -> Cell:
    return Cell(forms.number(number, texts), number=True, state="down" if number else "")


def _complete(share: float | None, texts: Texts) -> Cell:
    if share is None:
        return Cell("", number=True)
    state = "" if share == 1.0 else "degraded"
    return Cell(_percent(share, texts), number=True, state=state)


def _percent(share: float, texts: Texts) -> str:
    """Cut, never round up: 100 % is said of everything only."""
    return forms.percent(int(share * 10_000) / 10_000, texts, places=0 if share == 1.0 else 2)


def _causes(missing: Mapping[Cause, int], texts: Texts) -> str:
    most_first = sorted(missing.items(), key=lambda item: -item[1])
    return "; ".join(
        f"{texts.ledger_causes[cause]}: {forms.number(number, texts)}"
        for cause, number in most_first
    )


def _cause(gap: Gap, texts: Texts) -> str:
    said = texts.ledger_causes[gap.cause]
    return f"{said} ({texts.ledger_announced})" if gap.announced else said


def _share(one: SiteLedger) -> float:
    return 1.0 if one.complete is None else one.complete


def _moment(at: float, inventory: Inventory) -> str:
    local = datetime.fromtimestamp(at, inventory.time_zone)
    return f"{local:%H:%M:%S}{forms.NBSP}{local:%d/%m/%Y}"


def _place(site: str, inventory: Inventory, texts: Texts) -> str:
    known = inventory.sites.get(site)
    return f"{full_name(known, texts)} ({site})" if known else site


def _check_name(one: CheckLedger, inventory: Inventory, texts: Texts) -> str:
    known = inventory.checks.get(one.check)
    return f"{getattr(known.name, texts.lang)} ({one.check})" if known else one.check
