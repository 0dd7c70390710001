"""Files that people write, decoded strictly: every mistake of a file at once, each with its place.

The collector reads its own files with this too: one strictness for all of them.
"""

from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import NODEFAULT, Struct

T = TypeVar("T", bound=Struct)


class ConfigError(Exception):
    """What a person has to mend: one line per mistake, all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice: the second one would win in silence."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a word", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is there twice", key_node.start_mark
            )
        seen[key] = True
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. ConfigError names the file, and the line where it breaks."""
    try:
        text = path.read_text("utf-8-sig")
        return yaml.load(text, _Loader)  # noqa: S506  _Loader is a SafeLoader
    except OSError as exc:
        raise ConfigError([f"{path.name}: cannot be read: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path.name}: byte {exc.start + 1} is not UTF-8"]) from exc
    except yaml.MarkedYAMLError as exc:
        line = f" line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise ConfigError([f"{path.name}{line}: {exc.problem}"]) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:  # ValueError: 2025-13-45 as a date
        raise ConfigError([f"{path.name}: is not YAML: {' '.join(str(exc).split())}"]) from exc


def convert(raw: Any, kind: type[T], where: str, problems: list[str]) -> T | None:
    """Return `raw` as the Struct `kind`, or None with every mistake added to `problems`.

    `where` names the place ("agent.yml: checks[2]"); fields that are Structs, or lists or maps
    of them, are gone into, so that one mistake does not hide the others.
    """
    if not isinstance(raw, dict):
        problems.append(f"{where}: expected keys and values, found {found(raw)}")
        return None
    before = len(problems)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in raw:
        if key not in fields:
            near = get_close_matches(str(key), fields, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(fields)}"
            problems.append(f"{where}: unknown key {key!r}; {hint}")
    hints = get_type_hints(kind, include_extras=True)  # Annotated holds the allowed range
    values = {}
    for name, field in fields.items():
        if name in raw:
            values[field.name] = _field(raw[name], hints[field.name], f"{where}: {name}", problems)
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            problems.append(f"{where}: key {name!r} is missing")
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ValueError as exc:  # of its __post_init__: fields that do not go together
        problems.append(f"{where}: {exc}")
        return None


def _field(raw: Any, hint: Any, where: str, problems: list[str]) -> Any:
    inner = get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return convert(raw, hint, where, problems)
    if get_origin(hint) is list and _is_struct(inner[0]) and isinstance(raw, list):
        return [convert(item, inner[0], f"{where}[{n}]", problems) for n, item in enumerate(raw)]
    if get_origin(hint) is dict and _is_struct(inner[1]) and isinstance(raw, dict):
        return {
            key: convert(item, inner[1], f"{where}.{key}", problems) for key, item in raw.items()
        }
    try:
        return msgspec.convert(raw, hint, strict=True, dec_hook=_path)
    except msgspec.ValidationError as exc:
        problems.append(f"{where}: {plain(str(exc), raw)}")
        return None


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")


_WORDS = {
    "`str`": "text (in quotes, if it looks like a number)",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "keys and values",
    "`null`": "nothing",
}


def plain(message: str, raw: Any) -> str:
    """Turn msgspec's message into words for people; what it does not know it passes on."""
    place = ""
    if " - at `$" in message:
        message, _, rest = message.partition(" - at `$")
        place = rest.rstrip("`").lstrip(".")
    if message.startswith("Expected ") and ", got " in message:
        wanted = message.removeprefix("Expected ").partition(", got ")[0]
        for word, words in _WORDS.items():
            wanted = wanted.replace(word, words)
        message = f"expected {wanted.replace(' | ', ' or ')}, found {found(_at(raw, place))}"
    return f"{place}: {message}" if place else message


def _at(raw: Any, place: str) -> Any:
    """Follow `a[2].b` into what was read, as far as it can be followed."""
    for step in place.replace("[", ".[").split("."):
        if step.startswith("[") and isinstance(raw, list) and step[1:-1].isdecimal():
            raw = raw[int(step[1:-1])]
        elif isinstance(raw, dict) and step in raw:
            raw = raw[step]
    return raw


def found(raw: Any) -> str:
    """Say what stands there, short."""
    if raw is None:
        return "nothing"
    if isinstance(raw, dict):
        return "keys and values"
    if isinstance(raw, list):
        return "a list"
    if isinstance(raw, bool):
        return str(raw).lower()
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "…'"
