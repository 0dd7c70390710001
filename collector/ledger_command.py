"""What `thongsuot-collector ledger` prints: what became of every measurement, and why.

Read from the state directory of a collector that runs or has stopped; nothing is written there.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from collector.config import CollectorConfig
from collector.evidence_export import ExportError, moment
from collector.inventory.model import Inventory
from collector.state.ledger import SiteLedger
from collector.state.ledger_read import DAY, LedgerReader
from collector.wall.ledger import LedgerPage, Table, province_page, site_page


def ledger(
    config: CollectorConfig,
    inventory: Inventory,
    site: str = "",
    *,
    begin: str = "",
    end: str = "",
    lang: str = "vi",
    as_json: bool = False,
) -> str:
    """Return the ledger of one place, or of all, as text or JSON. ExportError for people."""
    if site and site not in inventory.sites:
        raise ExportError(f"{site}: expected a site of {config.province}")
    since, until = moment(begin, inventory), moment(end, inventory, through=True)
    if since is not None and until is not None and since >= until:
        raise ExportError(f"--from {begin} --to {end}: expected an end behind the beginning")
    sites = [site] if site else [one for one, known in inventory.sites.items() if known.agents]
    agents = {one: inventory.sites[one].agents for one in sites}
    try:
        with LedgerReader(config.state_directory, kept_seconds=config.keep.days * DAY) as reader:
            if not reader.counted_until:
                raise ExportError(f"{config.state_directory}: nothing is counted yet")
            window = reader.window(since, until)
            ledgers = reader.sites(agents, window)
    except sqlite3.Error as exc:
        raise ExportError(f"{config.state_directory}: cannot be read: {exc}") from exc
    if as_json:
        return _json(ledgers, window, inventory)
    page = (
        site_page(ledgers[0], inventory, lang) if site else province_page(ledgers, inventory, lang)
    )
    return "\n".join(_text(page)) + "\n"


def _json(ledgers: list[SiteLedger], window: tuple[float, float], inventory: Inventory) -> str:
    whole = {
        "province": inventory.id,
        "begin": window[0],
        "end": window[1],
        "expected": sum(one.expected for one in ledgers),
        "stored": sum(one.stored for one in ledgers),
        "doubled": sum(one.doubled for one in ledgers),
        "unaccounted": sum(one.unaccounted for one in ledgers),
        "sites": [_site(one) for one in ledgers],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def _site(one: SiteLedger) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(one),
        "expected": one.expected,
        "stored": one.stored,
        "missing": one.missing,
        "pending": one.pending,
        "doubled": one.doubled,
        "unaccounted": one.unaccounted,
    }


def _text(page: LedgerPage) -> Iterator[str]:
    yield f"{page.title} · {page.place}".replace("\u00a0", " ")
    yield page.window.replace("\u00a0", " ")
    yield page.verdict
    yield from page.proofs
    for table in page.tables:
        yield ""
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield f"{table.title}:"
    if not table.rows:
        yield f"  {table.empty}"
        return
    rows = [table.heads, *table.rows]
    texts = [[cell.text.replace("\u00a0", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        padded = (
            text.rjust(width) if head.number else text.ljust(width)
            for text, width, head in zip(row, widths, table.heads, strict=True)
        )
        yield ("  " + "  ".join(padded)).rstrip()
