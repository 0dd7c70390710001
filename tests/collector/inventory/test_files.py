import pytest

from collector.inventory.load import FolderError, load
from tests.collector.inventory.folders import FILES, problems, write


def test_files_that_nobody_reads_are_refused(tmp_path):
    """A misspelt name is found; notes and what editors leave behind are let be."""
    folder = write(tmp_path)
    for name in ("README.md", ".sites.csv.swp", "checks.yml~", "~$sites.csv"):
        (folder / name).write_text("", "utf-8")
    assert problems(folder) == []

    (folder / "readiness.yml").write_text("", "utf-8")
    (folder / "site.csv").write_text("", "utf-8")
    assert problems(folder) == [
        "readiness.yml: nobody reads this file; expected one of: province.yml, sites.csv, lines.csv, devices.csv, checks.yml, maintenance.yml",
        "site.csv: nobody reads this file; did you mean 'sites.csv'?",
    ]


def test_a_folder_that_is_none_is_refused(tmp_path):
    """Nothing there, and a file where a folder should be."""
    (tmp_path / "file").write_text("", "utf-8")

    for name, why in (("none", "No such file or directory"), ("file", "Not a directory")):
        path = tmp_path / name
        with pytest.raises(FolderError) as caught:
            load(path)
        assert [f"{path}: cannot be read as a folder: {why}"] == caught.value.problems


def test_a_folder_of_other_things_is_told_in_one_line(tmp_path):
    """Whoever names the wrong folder is not told of every file in it."""
    (tmp_path / "notes.txt").write_text("", "utf-8")

    files = "province.yml, sites.csv, lines.csv, devices.csv, checks.yml"
    assert problems(tmp_path) == [f"{tmp_path}: is no province's folder; expected {files} in it"]


def test_sections_of_an_event_may_be_left_out(tmp_path):
    """A province without phases and routes is calm, and calls nobody."""
    text = FILES["province.yml"]
    text = text[: text.index("phases:")] + text[text.index("profiles:") :]
    text = text[: text.index("on_call:")].replace("    route: commune\n", "")
    inventory = load(write(tmp_path, {**FILES, "province.yml": text}))

    assert (inventory.phases, inventory.on_call) == ({}, {})


def test_a_folders_name_is_an_id(tmp_path):
    """The name becomes a label, so it is held to what labels may be."""
    folder = write(tmp_path).rename(tmp_path / "Phú Thọ")

    assert [
        f"{folder}: the folder's name is the province's id: 'Phú Thọ', expected small letters, digits, '.', '_' or '-', at most 64"
    ] == problems(folder)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    """UTF-16, as some spreadsheets save it, and a stray byte."""
    folder = write(tmp_path)
    (folder / "sites.csv").write_bytes(FILES["sites.csv"].encode("utf-16"))
    (folder / "checks.yml").write_bytes(
        FILES["checks.yml"].encode().replace(b"kind: icmp", b"kind: \xff", 1)
    )

    advice = "is not UTF-8; save it as UTF-8 (in a spreadsheet: “CSV UTF-8”)"
    assert [f"sites.csv line 1: {advice}", f"checks.yml line 6: {advice}"] == problems(folder)


def test_a_huge_file_is_refused_unread(tmp_path):
    """Nobody writes 4 MiB by hand."""
    folder = write(tmp_path)
    (folder / "sites.csv").write_bytes(b"x" * (4 * 1024 * 1024 + 1))

    assert problems(folder) == ["sites.csv: is larger than 4 MiB"]
