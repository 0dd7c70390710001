"""`{site.web}` in targets and params: dotted names out of a table, nothing else is evaluated."""

import re
from collections.abc import Mapping
from typing import Any

from collector.inventory.problems import known

FIELDS = {
    "site.id": "the site's id",
    "site.name": "the site's name",
    "site.web": "host of the site's own web pages",
    "line.name": "name of the line that is measured",
    "line.anchor": "address that leads over the line that is measured",
    "device.address": "address of the device that is measured",
    "carrier.anchor": "one of the anchors of a carrier",
}
PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def mistakes(text: str) -> list[str]:
    """Return what is wrong with the braces of a text."""
    problems = []
    for part in PART.finditer(text):
        if part[0] in {"{", "}"}:
            problems.append(f"a single {part[0]!r} in {text!r}; write it twice to mean the letter")
        elif part[1] is not None and part[1] not in FIELDS:
            problems.append(f"unknown field {part[0]} in {text!r}; {known(part[1], FIELDS)}")
    return problems


def fields(text: str) -> set[str]:
    """Return the fields that a text without mistakes asks for."""
    return {part[1] for part in PART.finditer(text) if part[1]}


def expand(text: str, values: Mapping[str, str]) -> str | None:
    """Fill in the fields; None where one of them is empty: there is nothing to measure."""
    if not all(values[name] for name in fields(text)):
        return None
    return PART.sub(lambda part: values[part[1]] if part[1] else part[0][0], text)


def texts(value: Any) -> list[str]:
    """Return every text inside a check's params; keys are the probe's words and stay."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def expand_all(value: Any, values: Mapping[str, str]) -> Any:
    """Fill in the fields of every text inside a check's params; None where one is empty."""
    if isinstance(value, str):
        return expand(value, values)
    if isinstance(value, list):
        return [expand_all(item, values) for item in value]
    if isinstance(value, dict):
        return {key: expand_all(item, values) for key, item in value.items()}
    return value
