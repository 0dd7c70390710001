"""YAML into typed records, strictly: each mistake is noted with its line and key path.

`yaml.safe_load` would forget the lines, take the last of two equal keys, and read 04371 as the
number 2297. Here the text's nodes are walked against a record's types instead, so that all mistakes
are found in one go and what people wrote can be quoted.
"""

import math
import typing
import unicodedata
from datetime import datetime
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml
from msgspec import Struct

from collector.inventory.problems import known

T = TypeVar("T")
TAG = "tag:yaml.org,2002:"
MAX_DEPTH = 30


class Unusable(Exception):  # noqa: N818  never leaves this module: the problem was noted
    """A value that could not be built."""


class Document:
    """One YAML file: where its values stand, and the problems found on the way."""

    def __init__(self, file: str, text: str, problems: list[str]) -> None:
        self.file = file
        self.problems = problems
        self.doubted: list[str] = []
        """Key paths of records in which an optional key was wrong or unknown: usable, with care."""
        self.lines: dict[str, int] = {}
        """Key path -> line, for whoever finds a mistake later."""
        self.root = self._compose(text)

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    line = event.start_mark.line + 1 if event.start_mark else 1
                    self._note(line, "", f"the alias *{event.anchor} is not allowed; write it out")
                    return None
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            self._note(
                mark.line + 1 if mark else 1, "", f"is not YAML: {exc.problem or exc.context}"
            )
            return None
        except yaml.YAMLError as exc:
            self._note(1, "", f"is not YAML: {' '.join(str(exc).split())}")
            return None
        except ValueError as exc:  # an escape such as "\\U00110000" is no letter
            self._note(1, "", f"is not YAML: {exc}")
            return None
        except RecursionError:
            self._note(1, "", "is not YAML that people write: too deeply nested")
            return None
        if root is None:
            self._note(1, "", "is empty")
        return root

    def read(self, record: type[T]) -> T | None:
        """Build the whole file as one record; None where that is impossible.

        Broken entries of its mappings and lists are left out, so that the rest can be checked.
        """
        if self.root is None:
            return None
        try:
            built: T = self._build(self.root, record, "")
        except Unusable:
            return None
        return built

    def keys_at(self, key: str) -> list[str]:
        """Return the keys written in one section, also those whose entries are broken."""
        section = self._child(self.root, key)
        if not isinstance(section, yaml.MappingNode):
            return []
        names = [name.value for name, _ in section.value if isinstance(name, yaml.ScalarNode)]
        return list(dict.fromkeys(names))

    def note(self, path: str, problem: str) -> None:
        """Add a problem found later at a path that was read here."""
        place = path
        while place and place not in self.lines:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        self._note(self.lines.get(place, 1), path, problem)

    def _note(self, line: int, path: str, problem: str) -> None:
        where = f"{self.file} line {line}" + (f", {path}" if path else "")
        self.problems.append(f"{where}: {problem}")

    def _refuse(self, node: yaml.Node, path: str, problem: str) -> typing.NoReturn:
        self._note(_line(node), path, problem)
        raise Unusable

    @staticmethod
    def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if isinstance(name, yaml.ScalarNode) and name.value == key:
                    return typing.cast("yaml.Node", value)
        return None

    def _build(self, node: yaml.Node, kind: Any, path: str) -> Any:
        self.lines[path] = _line(node)
        origin = get_origin(kind)
        if origin in {typing.Union, UnionType}:
            kind = get_args(kind)[0]
            return None if node.tag == f"{TAG}null" else self._build(node, kind, path)
        if origin is dict:
            return self._dict(node, get_args(kind)[1], path)
        if origin is list:
            return self._list(node, get_args(kind)[0], path)
        if _is_record(kind):
            return self._record(node, kind, path)
        return self._anything(node, path) if kind is Any else self._scalar(node, kind, path)

    def _record(self, node: yaml.Node, kind: type[Struct], path: str) -> Struct:
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        usable = True
        values = {}
        items = self._items(node, path)
        for key, value in items.items():
            if key not in fields:
                self._note(_line(value), _join(path, key), f"unknown key; {known(key, fields)}")
                self.doubted.append(path)
                continue
            try:
                values[key] = self._build(value, fields[key].type, _join(path, key))
            except Unusable:
                self.doubted.append(path)
                usable = usable and not fields[key].required
        for name, field in fields.items():
            if field.required and name not in items:
                self._note(_line(node), _join(path, name), "is missing")
                usable = False
        if not usable:
            raise Unusable
        return kind(**values)

    def _dict(self, node: yaml.Node, kind: Any, path: str) -> dict[str, Any]:
        built = {}
        for key, value in self._items(node, path).items():
            try:
                built[key] = self._build(value, kind, _join(path, key))
            except Unusable:
                if not _is_record(kind):
                    raise
        return built

    def _list(self, node: yaml.Node, kind: Any, path: str) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            self._refuse(node, path, f"found {_found(node)}, expected a list")
        built = []
        usable = True
        for number, item in enumerate(node.value, start=1):
            id_ = self._child(item, "id")
            name = id_.value if isinstance(id_, yaml.ScalarNode) else number
            try:
                built.append(self._build(item, kind, f"{path}[{name}]"))
            except Unusable:
                usable = usable and _is_record(kind)
        if not usable:
            raise Unusable
        return built

    def _items(self, node: yaml.Node, path: str) -> dict[str, yaml.Node]:
        """Return the keys and values of a mapping; a doubled key is noted and its first one kept."""
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, path, f"found {_found(node)}, expected keys and values")
        items: dict[str, yaml.Node] = {}
        for key, value in node.value:
            problem = ""
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{TAG}str":
                problem = f"the key is {_found(key)}, expected text{_quote(key)}"
            elif key.value in items:
                first = items[key.value].start_mark.line + 1
                problem = f"key {key.value!r} is used twice, first in line {first}"
            else:
                items[key.value] = value
            if problem:
                self._note(_line(key), path, problem)
        return items

    def _anything(self, node: yaml.Node, path: str, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            self._refuse(node, path, "too deeply nested")
        if isinstance(node, yaml.MappingNode):
            return {
                key: self._anything(value, _join(path, key), depth + 1)
                for key, value in self._items(node, path).items()
            }
        if isinstance(node, yaml.SequenceNode):
            return [self._anything(item, path, depth + 1) for item in node.value]
        kinds = {f"{TAG}int": int, f"{TAG}float": float, f"{TAG}bool": bool}
        if node.tag == f"{TAG}null":
            return None
        return self._scalar(node, kinds.get(node.tag, str), path)

    def _scalar(self, node: yaml.Node, kind: Any, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, path, f"found {_found(node)}, expected {_expected(kind)}")
        if kind is str:
            if node.tag != f"{TAG}str":
                self._refuse(node, path, f"found {_found(node)}, expected text{_quote(node)}")
            if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in node.value):
                self._refuse(node, path, "found text with line breaks or control characters")
            return node.value
        value = _read_scalar(node, kind)
        if value is None:
            self._refuse(node, path, f"found {_found(node)}, expected {_expected(kind)}")
        return value


def _read_scalar(node: yaml.ScalarNode, kind: Any) -> Any:
    """Return the value, None where the text is not one of this kind."""
    text = node.value
    try:
        if get_origin(kind) is Literal:
            return text if text in get_args(kind) else None
        if kind is bool and node.tag == f"{TAG}bool":
            return text.lower() in {"true", "yes", "on"}
        if kind is int and node.tag == f"{TAG}int":
            return int(text)
        if kind is float and node.tag in {f"{TAG}int", f"{TAG}float"}:
            return float(text) if math.isfinite(float(text)) else None
        if kind is datetime:
            moment = datetime.fromisoformat(text)
            return moment if 2000 <= moment.year < 2100 else None  # arithmetic stays in range
    except ValueError:
        pass
    return None


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _found(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "keys and values"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    words = {"int": "the number", "float": "the number", "bool": "the yes-or-no"}
    word = words.get(node.tag.removeprefix(TAG), "")
    if node.tag == f"{TAG}null":
        return "nothing"
    return f"{word} {node.value}" if word else repr(node.value)


def _quote(node: yaml.Node) -> str:
    """Return the advice that mends most of it: YAML reads 14797 as a number and `no` as a no."""
    if isinstance(node, yaml.ScalarNode) and node.tag != f"{TAG}null" and node.value:
        return f": write '{node.value}' in quotes"
    return ""


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of: {', '.join(map(repr, get_args(kind)))}"
    return {
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        datetime: "a date and time such as 2025-06-30 07:30",
    }[kind]
