"""The examples are right: what people copy is read by the programs themselves."""

import re
from pathlib import Path

from agent.config import read_agent_file
from agent.probes import PROBES
from agent.wire import Failure
from collector.bridge.reflector import DEFAULT_PORT, ReflectorFile, read_reflector_file

ROOT = Path(__file__).parents[2]


def test_agent_example():
    """agent.example.yml is accepted and shows every kind of probe."""
    read = read_agent_file(ROOT / "configs/agent.example.yml")

    assert PROBES.keys() == {check.kind for check in read.checks}


def test_reflector_example(tmp_path):
    """reflector.example.yml is accepted beside a secret, and shows every key."""
    text = (ROOT / "configs/reflector.example.yml").read_text("utf-8")
    (tmp_path / "reflector.yml").write_text(text, "utf-8")
    (tmp_path / "bridge.secret").write_text("0123456789abcdef" * 4)
    read = read_reflector_file(tmp_path / "reflector.yml")

    assert read.listen.port == DEFAULT_PORT
    assert read.metrics is not None
    assert {f"{key}:" for key in ReflectorFile.__struct_fields__} <= set(text.split())


def test_the_page_names_every_probe_and_no_other():
    """docs/probes.md has a row for each kind; each module exists."""
    page = ROOT / "docs/probes.md"
    rows = re.findall(r"^\| \[`(\w+)`\]\(([^)]+)\)", page.read_text("utf-8"), flags=re.MULTILINE)

    assert PROBES.keys() == {kind for kind, _ in rows}
    assert all((page.parent / path).is_file() for _, path in rows)


def test_failures_have_meanings():
    """Every word of the closed list says in one line what it means."""
    assert all(failure.meaning for failure in Failure)


def test_links_lead_somewhere():
    """Relative links of the documents lead to files and folders that are there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/**/*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
