"""A province's folder into an Inventory, or everything that is wrong with it at once."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.config import ID
from collector.inventory import maintenance
from collector.inventory.compile import Compiled, compile_checks, refused_by_agents
from collector.inventory.model import CheckInfo, Inventory, Profile, RawCheck, Trunk, Window
from collector.inventory.problems import WORD, FolderError, known, read_text
from collector.inventory.province import Province, is_factor, mistakes_of_trunks, read_province
from collector.inventory.selection import Places
from collector.inventory.tables import Tables, read_tables
from collector.inventory.yamltext import Document

__all__ = ["FolderError", "load"]
FILES = ("province.yml", "sites.csv", "lines.csv", "devices.csv", "checks.yml")
OPTIONAL = (maintenance.FILE,)
BESIDE = ("README.md",)
"""What may lie in the folder unread."""

LOCAL_TARGETS = {"self", "system", "default"}
"""The PC itself, the resolver it was given and the card it uses (probes pc, dns and nic)."""


class RawChecks(Struct, frozen=True, kw_only=True):
    """checks.yml, as written."""

    checks: list[RawCheck]


def load(folder: Path) -> Inventory:
    """Return the province that a folder describes. FolderError with every mistake in it."""
    problems: list[str] = []
    if not _is_listed(folder, problems):
        raise FolderError(problems)
    document = _document(folder / "province.yml", problems)
    province = read_province(document) if document else None
    carriers = document.keys_at("carriers") if document and document.root else None
    tables = read_tables(folder, carriers, problems)
    written = _document(folder / "checks.yml", problems)
    checks = _read_checks(written) if written else []
    compiled = Compiled()
    if province and written and province.raw.default_profile in province.raw.profiles:
        places = _places(province, tables)
        compiled = compile_checks(
            [check for check in checks if check.system not in _broken(province)],
            places,
            lambda check, key, problem: written.note(_path(check, key), problem),
            doubted={check.id for check in checks if _is_doubted(check.id, written)},
            whole=tables.whole,
        )
        problems += [] if problems else refused_by_agents(compiled, places)
    windows = _windows(folder, province, tables, problems) if province else ()
    if problems or province is None:
        raise FolderError(problems)
    inventory = _inventory(folder, province, tables, checks, compiled)
    return msgspec.structs.replace(inventory, maintenance=windows)


def _is_listed(folder: Path, problems: list[str]) -> bool:
    """Note files that are missing, and those that nobody would read: most are misspelt names."""
    try:
        found = sorted(entry.name for entry in folder.iterdir())
    except OSError as exc:
        problems.append(f"{folder}: cannot be read as a folder: {exc.strerror}")
        return False
    if not set(FILES).intersection(found):
        problems.append(f"{folder}: is no province's folder; expected {', '.join(FILES)} in it")
        return False
    if not ID.fullmatch(folder.resolve().name):
        name = folder.resolve().name
        problems.append(
            f"{folder}: the folder's name is the province's id: {name!r}, expected {WORD}"
        )
    for name in found:
        left_by_an_editor = name.startswith((".", "~")) or name.endswith("~")
        if name not in FILES + OPTIONAL + BESIDE and not left_by_an_editor:
            problems.append(f"{name}: nobody reads this file; {known(name, FILES + OPTIONAL)}")
    problems += [f"{name}: is missing" for name in FILES if name not in found]
    return True


def _windows(
    folder: Path, province: Province, tables: Tables, problems: list[str]
) -> tuple[Window, ...]:
    document = _document(folder / maintenance.FILE, problems)
    if document is None:
        return ()
    words = tables.words()
    named = {
        "sites": words.get("agents.site"),
        "areas": words.get("agents.former_province"),
        "lines": words.get("agents.line"),
        "carriers": words.get("agents.carrier"),
        "systems": dict.fromkeys(province.named["systems"]),
    }
    return maintenance.read_maintenance(document, province.time_zone, named)


def _document(path: Path, problems: list[str]) -> Document | None:
    text = read_text(path, problems) if path.exists() else None
    return None if text is None else Document(path.name, text, problems)


def _read_checks(document: Document) -> list[RawCheck]:
    raw = document.read(RawChecks)
    checks: dict[str, RawCheck] = {}
    for check in raw.checks if raw else []:
        if check.id in checks:
            document.note(_path(check.id, "id"), "is used twice")
        elif not ID.fullmatch(check.id):
            document.note(_path(check.id, "id"), f"found {check.id!r}, expected {WORD}")
        else:
            checks[check.id] = check
    return list(checks.values())


def _path(check: str, key: str) -> str:
    return f"checks[{check}].{key}" if key else f"checks[{check}]"


def _is_doubted(check: str, document: Document) -> bool:
    return any(path.startswith(_path(check, "")) for path in document.doubted)


def _broken(province: Province) -> set[str]:
    """Return the systems whose own entry is wrong: their checks cannot be judged yet."""
    return set(province.named["systems"]) - set(province.raw.systems)


def _sane_trunks(province: Province) -> Mapping[str, Trunk] | None:
    """Return the trunks; None where something was refused in them already."""
    trunks = province.raw.trunks
    whole = set(province.named["trunks"]) == set(trunks)
    return trunks if whole and not any(mistakes_of_trunks(trunks)) else None


def _places(province: Province, tables: Tables) -> Places:
    return Places(
        sites=tables.sites,
        lines=tables.lines,
        devices=tables.devices,
        carriers=province.raw.carriers,
        systems=province.raw.systems,
        profiles={name: _sane(profile) for name, profile in province.raw.profiles.items()},
        default_profile=province.raw.default_profile,
        named=tables.words(),
        trunks=_sane_trunks(province),
    )


def _sane(profile: Profile) -> Profile:
    """Return a profile to go on with: a factor that was refused already is left out."""
    fine = is_factor(profile.interval_factor)
    return profile if fine else msgspec.structs.replace(profile, interval_factor=1.0)


def _inventory(
    folder: Path, province: Province, tables: Tables, checks: list[RawCheck], compiled: Compiled
) -> Inventory:
    return Inventory(
        id=folder.resolve().name,
        name=province.raw.name,
        time_zone=province.time_zone,
        carriers=province.raw.carriers,
        systems=province.raw.systems,
        phases=province.phases,
        profiles=province.raw.profiles,
        default_profile=province.raw.default_profile,
        office_hours=province.office_hours,
        on_call=province.raw.on_call,
        sites=tables.sites,
        lines={site: tuple(tables.lines.get(site, ())) for site in tables.sites},
        devices={site: tuple(tables.devices.get(site, ())) for site in tables.sites},
        checks={
            check.id: CheckInfo(
                id=check.id,
                system=check.system,
                layer=check.layer,
                kind=check.kind,
                name=check.name,
                expect=check.expect,
                interval_seconds=check.interval_seconds,
                local=check.devices is not None or set(check.targets) <= LOCAL_TARGETS,
            )
            for check in checks
        },
        site_of_agent={agent: site.id for site in tables.sites.values() for agent in site.agents},
        configs=compiled.configs,
        subjects=compiled.subjects,
        series_of_agent=compiled.series_of_agent,
        interval_of=compiled.interval_of,
        trunks=province.raw.trunks,
        loads=compiled.loads,
    )
