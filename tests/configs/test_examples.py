"""The examples are right: what people copy is read by the programs themselves."""

import re
from pathlib import Path

from agent.config import read_agent_file
from agent.probes import PROBES
from agent.wire import Failure
from collector.config import read_collector_file

ROOT = Path(__file__).parents[2]


def test_agent_example():
    """agent.example.yml is accepted and shows every kind of probe."""
    read = read_agent_file(ROOT / "configs/agent.example.yml")

    assert PROBES.keys() == {check.kind for check in read.checks}


def test_collector_example():
    """collector.example.yml is accepted as it stands."""
    read_collector_file(ROOT / "configs/collector.example.yml")


def test_collector_example_uncommented(tmp_path):
    """The parts of collector.example.yml that are commented out are right too."""
    text = (ROOT / "configs/collector.example.yml").read_text("utf-8")
    file = tmp_path / "collector.yml"
    file.write_text(re.sub(r"^# (?=\w+: )", "", text.split("\n\n", 1)[1], flags=re.MULTILINE))
    (tmp_path / "provinces/phu-tho").mkdir(parents=True)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()

    read = read_collector_file(file)

    assert read.tls is not None
    assert 2 == len(read.scrape_from) == len(read.watch_from)


def test_documents_name_every_probe_and_no_other():
    """docs/probes.md and the README have a row for each kind; each module exists."""
    for page in ("docs/probes.md", "README.md"):
        text = (ROOT / page).read_text("utf-8")
        rows = re.findall(r"^\| \[`(\w+)`\]\(([^)]+)\)", text, flags=re.MULTILINE)

        assert PROBES.keys() == {kind for kind, _ in rows}
        assert all((ROOT / page).parent.joinpath(path).is_file() for _, path in rows)


def test_failures_have_meanings():
    """Every word of the closed list says in one line what it means."""
    assert all(failure.meaning for failure in Failure)


def test_links_lead_somewhere():
    """Relative links of the documents lead to files and folders that are there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/**/*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
