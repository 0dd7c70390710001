import gzip
import re

from collector.wall.assets import Assets

ASSETS = Assets()


def test_addresses_change_with_the_content():
    """Each file is served under a name that holds a part of its hash."""
    for name in ("style.css", "wall.js", "icon.svg", "noto-sans-vietnamese.woff2"):
        stem, _, suffix = name.rpartition(".")
        assert re.fullmatch(rf"/static/{stem}\.[0-9a-f]{{12}}\.{suffix}", ASSETS.url(name))
        assert ASSETS.url(name).removeprefix("/static/") in ASSETS.by_name


def test_the_sheet_names_the_fonts_that_are_served():
    """And nothing else is loaded by it."""
    sheet = ASSETS.by_name[ASSETS.url("style.css").removeprefix("/static/")]
    loaded = re.findall(r"url\(([^)]*)\)", sheet.body.decode())

    assert len([name for name in loaded if name.endswith(".woff2")]) == 3
    assert {name for name in loaded if not name.startswith("#")} <= set(ASSETS.by_name)
    assert sheet.gzipped is not None
    assert gzip.decompress(sheet.gzipped) == sheet.body


def test_both_ways_to_the_light_theme_have_the_same_colours():
    """Asked for, and preferred."""
    sheet = ASSETS.by_name[ASSETS.url("style.css").removeprefix("/static/")].body.decode()
    asked, preferred = re.findall(r"/\*light\*/(.*?)/\*end\*/", sheet, re.DOTALL)
    (dark,) = re.findall(r"/\*dark\*/(.*?)/\*end\*/", sheet, re.DOTALL)

    assert asked == preferred
    assert re.findall(r"--[\w-]+(?=:)", dark) == re.findall(r"--[\w-]+(?=:)", asked)


def test_a_page_is_light():
    """What a browser fetches for Vietnamese: sheet, script, icon and two fonts, under 110 kB."""
    fetched = (
        "style.css",
        "wall.js",
        "icon.svg",
        "noto-sans-latin.woff2",
        "noto-sans-vietnamese.woff2",
    )
    assets = [ASSETS.by_name[ASSETS.url(name).removeprefix("/static/")] for name in fetched]

    assert sum(len(asset.gzipped or asset.body) for asset in assets) < 110_000


def test_the_fonts_carry_their_licence():
    """The Open Font License asks for it."""
    licence = ASSETS.by_name[ASSETS.url("noto-sans-LICENSE.txt").removeprefix("/static/")]

    assert b"SIL OPEN FONT LICENSE Version 1.1" in licence.body
