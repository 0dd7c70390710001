"""The CSV files of a province: sites, lines, devices. Codes are text; every cell is checked."""

import csv
import io
import ipaddress
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from agent.config import ID
from collector.inventory.model import (
    COMMUNE_KINDS,
    DEVICE_KINDS,
    SITE_KINDS,
    Device,
    LineKind,
    Select,
    Site,
    SiteLine,
)
from collector.inventory.problems import known, read_text

SITES = "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone"
LINES = "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor"
DEVICES = "site,agent,device,kind,address"
WORD = "small letters, digits, '.', '_' or '-', at most 64"
RESERVED_LINE_NAMES = ("any", "each")


@dataclass(slots=True)
class Row:
    """One line of a table and what is wrong with it."""

    file: str
    line: int
    cells: dict[str, str]
    problems: list[str]
    good: bool = True
    whole: bool = True
    """Whether there were as many cells as columns; if not, only the first few mean something."""

    def refuse(self, column: str, expected: str) -> None:
        """Note a mistake in one cell."""
        self.good = False
        where = f"{self.file} line {self.line}, column {column}"
        self.problems.append(f"{where}: found {self.cells[column]!r}, expected {expected}")

    def word(self, column: str) -> str:
        """Return a cell that names something."""
        if not ID.fullmatch(self.cells[column]):
            self.refuse(column, WORD)
        return self.cells[column]

    def text(self, column: str) -> str:
        """Return a cell that may not be empty."""
        if not self.cells[column]:
            self.refuse(column, "some text")
        return self.cells[column]

    def one_of(self, column: str, words: tuple[str, ...]) -> str:
        """Return a cell that must be one of some words."""
        if self.cells[column] not in words:
            self.refuse(column, f"one of these: {', '.join(words)}")
        return self.cells[column]

    def number(self, column: str, low: float, high: float) -> float | None:
        """Return a number within bounds; None where the cell is empty."""
        text = self.cells[column]
        try:
            value = float(text) if text else None
        except ValueError:
            self.refuse(column, f"a number with a decimal point, {low:g} to {high:g}")
            return None
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            self.refuse(column, f"{low:g} to {high:g}")
        return value

    def address(self, column: str) -> str:
        """Return a cell that holds an IP address, or nothing."""
        text = self.cells[column]
        try:
            return str(ipaddress.ip_address(text)) if text else ""
        except ValueError:
            self.refuse(column, "an IP address")
            return text


@dataclass(slots=True)
class Tables:
    """What the three files hold, and the words that their rows use."""

    carriers: list[str] | None
    """Those of province.yml; None where it could not be read."""
    sites: dict[str, Site] = field(default_factory=dict)
    lines: dict[str, list[SiteLine]] = field(default_factory=dict)
    devices: dict[str, list[Device]] = field(default_factory=dict)
    named: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """Words by the selector's key that may use them. Also those of broken rows: using them
    elsewhere is no second mistake."""
    whole: bool = True
    """Whether every row was good."""

    def name(self, key: str, *words: str) -> None:
        """Remember words in the order of the files."""
        self.named[key].update(dict.fromkeys(words))


def read_tables(folder: Path, carriers: list[str] | None, problems: list[str]) -> Tables:
    """Read sites.csv, lines.csv and devices.csv; broken rows are noted and left out."""
    before = len(problems)
    tables = Tables(carriers)
    tables.name("agents.kind", *SITE_KINDS)
    tables.name("devices.kind", *DEVICE_KINDS)
    tables.name("agents.carrier", *(carriers or ()))
    _read_sites(folder / "sites.csv", tables, problems)
    for row in _rows(folder / "lines.csv", LINES, problems):
        _read_line(row, tables)
    for row in _rows(folder / "devices.csv", DEVICES, problems):
        _read_device(row, tables)
    tables.whole = len(problems) == before
    return tables


def _rows(path: Path, header: str, problems: list[str]) -> Iterator[Row]:
    text = read_text(path, problems) if path.exists() else None
    if text is None:
        return
    columns = header.split(",")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        found = [cell.strip() for cell in next(reader, [])]
        if found != columns:
            problems.append(f"{path.name} line 1: {_wrong_header(found, columns)}")
            return
        line = reader.line_num + 1
        for cells in reader:
            row = _row(path.name, line, columns, cells, problems)
            line = reader.line_num + 1
            if row:
                yield row
    except csv.Error as exc:
        problems.append(f"{path.name} line {line}: is not CSV: {exc}")


def _row(
    file: str, line: int, columns: list[str], cells: list[str], problems: list[str]
) -> Row | None:
    """Return one row, None for an empty line."""
    stripped = [cell.strip() for cell in cells]
    if not any(stripped):
        return None
    padded = stripped + [""] * len(columns)
    row = Row(file, line, dict(zip(columns, padded, strict=False)), problems)
    if len(cells) != len(columns):
        row.good = row.whole = False
        problems.append(
            f"{file} line {line}: found {len(cells)} cells, expected {len(columns)}; "
            "a text with a comma in it needs quotes"
        )
    elif not all(cell.isprintable() for cell in stripped):
        row.good = row.whole = False
        problems.append(f"{file} line {line}: a cell holds a line break or a control character")
    return row


def _wrong_header(found: list[str], columns: list[str]) -> str:
    if len(found) == 1 and found[0].count(";") == len(columns) - 1:
        return "the columns are separated by ';', expected ','"
    return f"found the header {','.join(found)!r}, expected {','.join(columns)!r}"


def _read_sites(path: Path, tables: Tables, problems: list[str]) -> None:
    first_line: dict[tuple[str, str], int] = {}

    def refuse_doubled(row: Row, column: str, value: str) -> None:
        before = first_line.setdefault((column, value), row.line)
        if before != row.line and value:
            row.refuse(column, f"{value} only once; line {before} has it")

    for row in _rows(path, SITES, problems):
        tables.name("agents.site", row.cells["id"])
        if not row.whole:
            continue
        site = _site(row)
        refuse_doubled(row, "id", site.id)
        refuse_doubled(row, "web", site.web)
        for agent in site.agents:
            refuse_doubled(row, "agents", agent)
        tables.name("agents.agent", *site.agents)
        tables.name("agents.suffix", *(site.suffix(agent) for agent in site.agents))
        tables.name("agents.former_province", site.former_province)
        if row.good:
            tables.sites[site.id] = site


def _site(row: Row) -> Site:
    kind = row.one_of("kind", tuple(SITE_KINDS))
    id_ = row.cells["id"]
    if kind in COMMUNE_KINDS and not (len(id_) == 5 and id_.isascii() and id_.isdecimal()):
        row.refuse("id", "the official code of 5 digits; a spreadsheet drops zeros in front")
    else:
        row.word("id")
    agents = tuple(row.cells["agents"].split()) or (id_,)
    for agent in agents:
        if not (ID.fullmatch(agent) and (agent == id_ or agent.startswith(f"{id_}-"))):
            row.refuse("agents", f"{id_}, or that and a suffix such as {id_}-ttpv, by spaces")
            break
    web = row.cells["web"]
    if web and not all(part and part.isalnum() for part in web.replace("-", "x").split(".")):
        row.refuse("web", "the name of a web server, without https:// and path")
    return Site(
        id=id_,
        name=row.text("name"),
        kind=kind,
        former_province=row.text("former_province"),
        lat=row.number("lat", -90, 90),
        lon=row.number("lon", -180, 180),
        agents=agents,
        web=web,
        contact_name=row.cells["contact_name"],
        contact_phone=row.cells["contact_phone"],
    )


def _read_line(row: Row, tables: Tables) -> None:
    if not row.whole:
        return
    name = row.word("line")
    tables.name("agents.line", name)
    if name in RESERVED_LINE_NAMES:
        row.refuse("line", "another name: checks.yml uses this word for itself")
    carrier = row.cells["carrier"]
    if tables.carriers is not None and carrier not in tables.carriers:
        row.refuse("carrier", f"a carrier of province.yml; {known(carrier, tables.carriers)}")
    select = row.one_of("select", get_args(Select))
    line = SiteLine(
        site=row.cells["site"],
        agent=row.cells["agent"],
        name=name,
        carrier=carrier,
        kind=row.one_of("kind", get_args(LineKind)),  # type: ignore[arg-type]  # refused otherwise
        contracted_mbit_s=row.number("contracted_mbit_s", 0.1, 100_000),
        select=select,  # type: ignore[arg-type]  # refused otherwise
        source=row.address("source"),
        interface=row.cells["interface"],
        anchor=row.address("anchor"),
    )
    if select in {"source", "interface", "anchor"} and not row.cells[select]:
        row.refuse(select, f"a value, because select is {select!r}")
    for column in {"source", "interface"} - {select}:
        if row.cells[column]:
            row.refuse(column, f"nothing, because select is {select!r}")
    site = _place(row, tables)
    if site and select in {"source", "interface"} and not line.agent and len(site.agents) > 1:
        row.refuse("agent", f"one of {', '.join(site.agents)}: an address belongs to one PC")
    others = tables.lines.setdefault(line.site, [])
    if any(other.name == name for other in others):
        row.refuse("line", "a name that this site does not use yet")
    if row.good:
        others.append(line)


def _read_device(row: Row, tables: Tables) -> None:
    if not row.whole:
        return
    device = Device(
        site=row.cells["site"],
        agent=row.cells["agent"],
        id=row.word("device"),
        kind=row.one_of("kind", tuple(DEVICE_KINDS)),
        address=row.address("address"),
    )
    if not device.address:
        row.refuse("address", "an IP address")
    tables.name("devices.device", device.id)
    _place(row, tables)
    others = tables.devices.setdefault(device.site, [])
    if any(other.id == device.id for other in others):
        row.refuse("device", "an id that this site does not use yet")
    if any(other.address == device.address and _together(other, device) for other in others):
        row.refuse("address", "one that no other device of this office has")
    if row.good:
        others.append(device)


def _together(one: Device, other: Device) -> bool:
    return one.agent == other.agent or not one.agent or not other.agent


def _place(row: Row, tables: Tables) -> Site | None:
    """Return the site a row belongs to; None where that cannot be told."""
    id_ = row.cells["site"]
    named = tables.named["agents.site"]
    if named and id_ not in named:  # none at all: sites.csv itself is the mistake
        row.refuse("site", f"a site of sites.csv; {known(id_, named)}")
    site = tables.sites.get(id_)
    if site and row.cells["agent"] and row.cells["agent"] not in site.agents:
        row.refuse("agent", f"an agent of this site: {', '.join(site.agents)}")
    return site
