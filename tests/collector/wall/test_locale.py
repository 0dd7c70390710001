import re
import unicodedata
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from string import Formatter
from typing import get_args, get_type_hints

import pytest

from agent import findings
from agent.wire import Failure
from collector.diagnosis.incident import Severity, Step
from collector.duty.acts import Kind
from collector.inventory.model import COMMUNE_KINDS
from collector.state.states import BELOW_SERVICE
from collector.wall.locale import TEXTS
from collector.wall.locale.duty import DUTY_TEXTS
from collector.wall.view import COUNTED

VIETNAMESE = re.compile(r"[ăâđêôơưĂÂĐÊÔƠƯ\u1ea0-\u1ef9]")


def leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield every single text with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    else:
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{i}")


def texts_of(lang: str) -> dict[str, str]:
    """Return every text of a language by its place."""
    return {
        path: text
        for table, name in ((TEXTS[lang], ""), (DUTY_TEXTS[lang], "duty."))
        for field in fields(table)
        for path, text in leaves(getattr(table, field.name), name + field.name)
    }


def filled(text: str) -> set[str]:
    """Return the names a text is filled with."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_say_everything():
    """Same places, nothing empty, the same blanks to fill, the same brackets."""
    vi, en = texts_of("vi"), texts_of("en")

    assert vi.keys() == en.keys()
    assert not [path for path in vi if not vi[path].strip() or not en[path].strip()]
    assert not [path for path in vi if filled(vi[path]) != filled(en[path])]
    assert not [path for path in vi if vi[path].count("[") != en[path].count("[")]


def test_vietnamese_is_composed_and_languages_are_not_mixed():
    """Letters are NFC; only the link's own name is in the other language."""
    assert not [
        path for path, text in texts_of("vi").items() if not unicodedata.is_normalized("NFC", text)
    ]
    assert [path for path, text in texts_of("en").items() if VIETNAMESE.search(text)] == [
        "other_language"
    ]


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_closed_list_has_its_words(lang):
    """Failures, states, layers and kinds of communes."""
    texts = TEXTS[lang]

    assert set(texts.failures) == {failure.value for failure in Failure}
    assert set(texts.states) == set(COUNTED)
    assert set(texts.broken_layers) == BELOW_SERVICE
    assert set(texts.kind_names) == set(COMMUNE_KINDS)
    assert set(texts.nouns) == {*COMMUNE_KINDS, "communes", "places"}
    assert set(DUTY_TEXTS[lang].acts) == set(get_args(Kind))
    assert set(DUTY_TEXTS[lang].severities) == set(get_args(Severity))
    assert set(DUTY_TEXTS[lang].steps) == {"began", *get_args(get_type_hints(Step)["kind"])}


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_words_of_evidence_are_those_that_agents_say(lang):
    """Each fixed phrase that is put into a language is one that the agent's source holds."""
    agent = Path(findings.__file__).parent
    source = "".join(
        (agent / name).read_text("utf-8")
        for name in ("findings.py", "scene.py", "runner.py", "probes/classify.py")
    )

    assert [word for word in TEXTS[lang].evidence_words if word not in source] == []


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_english_alone_has_plurals(lang):
    """A bar would be shown as it is where nobody looks for it."""
    with_bar = {path.split(".")[0] for path, text in texts_of(lang).items() if "|" in text}

    assert with_bar == (
        set()
        if lang == "vi"
        else {
            "incidents",
            "ledger_doubled",
            "ledger_pending",
            "ledger_unaccounted",
            "more_causes",
            "more_good_systems",
            "more_names",
            "more_systems",
            "nouns",
            "show_all",
            "worse_more",
        }
    )


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_no_text_shouts(lang):
    """No words all in capitals but abbreviations of four letters and the mark of an old page."""
    words = {word for text in texts_of(lang).values() for word in re.findall(r"[^\W\d_]{2,}", text)}

    assert {word for word in words if word.isupper()} <= {
        "ARP",
        "LAN",
        "PC",
        "MTU",
        "TSLCD",
        "VNPT",
        "CŨ",
        "OLD",
        "SZ",
        "ĐK",
    }
