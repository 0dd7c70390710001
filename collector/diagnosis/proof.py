"""Proof: the facts of an incident that help on a page, in the reader's words. Pure.

Facts are short English texts of the rules that decided. Told is only what has a form known here,
and then whole: a half-translated line helps nobody. All of them are on the wall.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from collector.inventory.model import Text

MOST_TOLD = 3
NAMES: Mapping[str, Text] = {
    "silent": Text(vi="mất liên lạc {}", en="{} silent"),
    "on battery": Text(vi="chạy pin {}", en="{} on battery"),
    "lines down": Text(vi="nơi còn báo về thấy đứt đường {}", en="{} that still report: line down"),
    "seen from": Text(vi="thấy từ {}", en="seen from {}"),
    "failing": Text(vi="không đạt {}", en="{} failing"),
    "clock": Text(vi="lệch {}", en="off by {}"),
}
COUNT = re.compile(r"(\d+) of (\d+) [a-z ]+")
SECONDS = re.compile(r"([+-]?\d+) s")
MEASURED = re.compile(r"[(), ]|\d+(?:\.\d+)?|delay|jitter|loss|MOS|usual|limit|ms|%")
WORDS = {
    "delay": "độ trễ",
    "jitter": "rung pha",
    "loss": "mất gói",
    "usual": "bình thường",
    "limit": "mức đạt",
    " %": "%",
    ".": ",",
}


def proof(facts: Mapping[str, str], language: Literal["vi", "en"]) -> str:
    """Return the facts that help, the first few; "" where none is known here."""
    told = list(dict.fromkeys(_told(facts, language)))
    return "; ".join(told[:MOST_TOLD])


def _told(facts: Mapping[str, str], language: Literal["vi", "en"]) -> Iterator[str]:
    measured = False
    for name, fact in facts.items():
        if name in NAMES:
            value = _value(fact, language)
            if value:
                yield getattr(NAMES[name], language).format(value)
        elif not measured and _is_measured(fact):
            measured = True  # of many places the first speaks for all
            yield _in_vietnamese(fact) if language == "vi" else fact


def _value(fact: str, language: Literal["vi", "en"]) -> str:
    count, seconds = COUNT.fullmatch(fact), SECONDS.fullmatch(fact)
    if count:
        return f"{count[1]}/{count[2]}"
    if seconds:
        return f"{seconds[1]} {'giây' if language == 'vi' else 's'}"
    return ""


def _is_measured(fact: str) -> bool:
    """Whether a text is made of what quality is measured in, and nothing else."""
    return fact.startswith(("delay ", "jitter ", "loss ", "MOS ")) and not MEASURED.sub("", fact)


def _in_vietnamese(fact: str) -> str:
    for english, word in WORDS.items():
        fact = fact.replace(english, word)
    return fact
