"""The example of docs/incidents.md, and the one in comments of each shipped maintenance.yml."""

import re
from pathlib import Path

import pytest

from collector.inventory.load import load

ROOT = Path(__file__).parents[2]
PROVINCES = ROOT / "configs" / "provinces"


def copied(tmp_path: Path, name: str, maintenance: str) -> list[str]:
    """Return the ids of the windows of a shipped province with this maintenance.yml."""
    folder = tmp_path / name
    folder.mkdir()
    for file in (PROVINCES / name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "maintenance.yml").write_text(maintenance, "utf-8")
    return [window.id for window in load(folder).maintenance]


def test_the_example_in_the_docs_is_valid(tmp_path):
    """As written there, in the shipped province it speaks of."""
    text = (ROOT / "docs" / "incidents.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(windows:.*?)```", text, re.DOTALL)

    assert copied(tmp_path, "phu-tho", example) == ["vnpt-cap-quang", "sao-luu-dem"]


@pytest.mark.parametrize("name", ["phu-tho", "thanh-hoa"])
def test_the_example_in_the_comments_is_valid(tmp_path, name):
    """Whoever takes away the # signs has windows that work; as shipped there are none."""
    text = (PROVINCES / name / "maintenance.yml").read_text("utf-8")
    assert load(PROVINCES / name).maintenance == ()
    uncommented = re.sub(r"(?m)^# (?=- id|  )", "", text).replace("windows: []\n", "")
    head, _, entries = uncommented.partition("- id:")

    windows = copied(tmp_path, name, f"{head}windows:\n- id:{entries}")

    assert windows == ["vnpt-cap-quang", "sao-luu-dem"]
