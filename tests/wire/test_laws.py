"""Who may import whom: the layout's laws, read off the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.probes import PROBES

ROOT = Path(__file__).parents[2]
PURE = {
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "hashlib",
    "hmac",
    "math",
    "msgspec",
    "re",
    "struct",
    "typing",
}
"""Modules without input or output, all that agent.wire may use."""
KINDS = {probe.__module__ for probe in PROBES.values()}


def modules(folder: str) -> list[Path]:
    """Return the source files below a folder."""
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    """Whether a name is one of the packages or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def ids(paths: list[Path]) -> list[str]:
    """Name the cases by their file."""
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", modules("agent/wire"), ids=ids(modules("agent/wire")))
def test_the_wire_imports_nothing_of_ours_and_does_no_io(path):
    """The contract stands alone and is pure: no file, socket, clock or chance in it."""
    foreign = [name for name in imports(path) if not within(name, "agent.wire")]

    assert [name for name in foreign if name.partition(".")[0] not in PURE] == []
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize("path", modules("agent"), ids=ids(modules("agent")))
def test_the_agent_never_imports_the_collector(path):
    """An agent can be shipped without the centre's code."""
    assert [name for name in imports(path) if within(name, "collector")] == []


@pytest.mark.parametrize("path", modules("collector"), ids=ids(modules("collector")))
def test_the_collector_takes_declarations_only(path):
    """Of the agent's code the centre knows the wire, the configuration and the probes' rows."""
    allowed = ("agent.wire", "agent.config", "agent.strict", "agent.probes", "agent.VERSION")
    ours = [name for name in imports(path) if within(name, "agent")]

    assert [name for name in ours if not within(name, *allowed)] == []
    assert [name for name in ours if within(name, *KINDS)] == [], "PROBES is the way to a probe"


@pytest.mark.parametrize("path", modules("agent/probes"), ids=ids(modules("agent/probes")))
def test_probes_know_no_room_but_their_own(path):
    """A probe uses base, the helpers beside it and libraries: not another probe, nor the agent."""
    ours = [name for name in imports(path) if within(name, "agent")]

    assert [
        name for name in ours if not within(name, "agent.wire", "agent.probes", "agent.VERSION")
    ] == []
    if path.name != "__init__.py":
        assert [name for name in ours if within(name, *KINDS)] == []
        assert "agent.probes.PROBES" not in ours


@pytest.mark.parametrize(
    "path",
    modules("agent") + modules("collector"),
    ids=ids(modules("agent") + modules("collector")),
)
def test_no_file_has_outgrown_its_reader(path):
    """A file of more than 400 lines is split."""
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_the_wire_loads_nothing_else():
    """Importing it really brings in no module of ours but itself, whatever the source says."""
    code = (
        "import sys; import agent.wire, agent.wire.stamp_packet;"
        "print([m for m in sys.modules if m.startswith(('agent', 'collector', 'asyncio'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert {
        "agent",
        "agent.wire",
        *(f"agent.wire.{p.stem}" for p in modules("agent/wire") if p.stem != "__init__"),
    } == set(ast.literal_eval(found))
