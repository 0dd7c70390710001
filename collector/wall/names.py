"""How places are called: in full in a sentence, short in a tile."""

from collections.abc import Iterable

from collector.inventory.model import COMMUNE_KINDS, Site
from collector.wall.forms import joined, plural
from collector.wall.locale.texts import Texts

ABBREVIATIONS = {
    "Mạng truyền số liệu chuyên dùng": "Mạng TSLCD",
    "Quản lý văn bản và điều hành": "Quản lý văn bản",
    "cán bộ, công chức, viên chức": "CBCCVC",
    "Phục vụ hành chính công": "PVHCC",
    "Sở Khoa học và Công nghệ": "Sở KH&CN",
    "Hệ thống thông tin": "HTTT",
    "thông tin điện tử": "TTĐT",
    "Dịch vụ công": "DVC",
    "Trung tâm": "TT",
}
"""Vietnamese in both languages: they stand in proper names."""


def is_commune(site: Site) -> bool:
    """Whether a site is one of those the province is counted by."""
    return site.kind in COMMUNE_KINDS


def full_name(site: Site, texts: Texts) -> str:
    """Return the name for a sentence: `Xã Thượng Cốc`, `Thượng Cốc commune`."""
    if is_commune(site):
        return joined(_commune_name(site, texts.kind_names[site.kind][0]))
    return joined(site.name)


def short_name(site: Site, texts: Texts) -> str:
    """Return the name for a tile: `Thượng Cốc`, `P. Phong Châu`, `TT PVHCC số 1`."""
    if is_commune(site):
        return joined(_commune_name(site, texts.kind_names[site.kind][1]))
    return joined(abbreviated(site.name))


def abbreviated(name: str) -> str:
    """Return a name with its official words as everyone in the trade shortens them."""
    for long, short in ABBREVIATIONS.items():
        name = name.replace(long, short)
    return name


def roomy_name(site: Site, texts: Texts) -> str:
    """Return the name for a wide tile: in full where that is a commune's."""
    return full_name(site, texts) if is_commune(site) else short_name(site, texts)


def counted(sites: Iterable[Site], texts: Texts) -> str:
    """Return how several are counted, or the name of the only one: `23 xã`, `Xã Thượng Cốc`."""
    several = list(sites)
    if len(several) == 1:
        return full_name(several[0], texts)
    kinds = {site.kind for site in several}
    if not all(is_commune(site) for site in several):
        noun = texts.nouns["places"]
    elif len(kinds) > 1:
        noun = texts.nouns["communes"]
    else:
        noun = texts.nouns[kinds.pop()]
    return joined(f"{len(several)} {plural(noun, len(several))}")


def _commune_name(site: Site, pattern: str) -> str:
    bare = site.name
    if bare.casefold().startswith(site.kind + " "):
        bare = bare[len(site.kind) + 1 :]
    return pattern.format(name=bare)
