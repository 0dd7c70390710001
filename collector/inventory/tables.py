"""The CSV files of a province: sites, lines, devices. Codes are text; every cell is checked."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from agent.config import ID
from collector.inventory.csvtext import Row, read_rows
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
from collector.inventory.problems import known

SITES = "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone"
LINES = "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor"
DEVICES = "site,agent,device,kind,address"
RESERVED_LINE_NAMES = ("any", "each")
KEYS_FROM = {
    "sites.csv": ("agents.site", "agents.agent", "agents.suffix", "agents.former_province"),
    "lines.csv": ("agents.line",),
    "devices.csv": ("devices.device",),
}
"""Which keys of a selector take their words from which file."""


@dataclass(slots=True)
class Tables:
    """What the three files hold, and the words that their rows use."""

    carriers: list[str] | None
    """Those of province.yml; None where it could not be read."""
    sites: dict[str, Site] = field(default_factory=dict)
    lines: dict[str, list[SiteLine]] = field(default_factory=dict)
    devices: dict[str, list[Device]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    """Files of which something could not be read: what they do not name may exist all the same."""
    named: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """Words by the selector's key that may use them. Also those of broken rows: using them
    elsewhere is no second mistake."""
    whole: bool = True
    """Whether every row was good."""

    def name(self, key: str, *words: str) -> None:
        """Remember words in the order of the files."""
        self.named[key].update(dict.fromkeys(words))

    def words(self) -> dict[str, dict[str, None]]:
        """Return the words of each key of a selector, leaving out what could not be read."""
        left_out = {key for file in self.unread for key in KEYS_FROM[file]}
        left_out |= {"agents.carrier"} if self.carriers is None else set()
        keys = {"agents.kind", "devices.kind", "agents.carrier"}.union(*KEYS_FROM.values())
        return {key: self.named[key] for key in sorted(keys - left_out)}


def read_tables(folder: Path, carriers: list[str] | None, problems: list[str]) -> Tables:
    """Read sites.csv, lines.csv and devices.csv; broken rows are noted and left out."""
    before = len(problems)
    tables = Tables(carriers)
    tables.name("agents.kind", *SITE_KINDS)
    tables.name("devices.kind", *DEVICE_KINDS)
    tables.name("agents.carrier", *(carriers or ()))
    _read_sites(folder / "sites.csv", tables, problems)
    for row in read_rows(folder / "lines.csv", LINES, tables.unread, problems):
        _read_line(row, tables)
    for row in read_rows(folder / "devices.csv", DEVICES, tables.unread, problems):
        _read_device(row, tables)
    tables.whole = len(problems) == before and not tables.unread
    return tables


def _read_sites(path: Path, tables: Tables, problems: list[str]) -> None:
    first_line: dict[tuple[str, str], int] = {}

    def refuse_doubled(row: Row, column: str, value: str) -> None:
        before = first_line.setdefault((column, value), row.line)
        if before != row.line and value:
            row.refuse(column, f"another than {value}; line {before} has it")

    for row in read_rows(path, SITES, tables.unread, problems):
        tables.name("agents.site", row.cells["id"])
        if not row.whole:
            continue
        site = _site(row)
        refuse_doubled(row, "id", site.id)
        refuse_doubled(row, "web", site.web)
        for agent in site.agents:
            refuse_doubled(row, "agents" if row.cells["agents"] else "id", agent)
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
    if "sites.csv" not in tables.unread and id_ not in named:
        row.refuse("site", f"a site of sites.csv; {known(id_, named)}")
    site = tables.sites.get(id_)
    if site and row.cells["agent"] and row.cells["agent"] not in site.agents:
        row.refuse("agent", f"an agent of this site: {', '.join(site.agents)}")
    return site
