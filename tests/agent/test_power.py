"""Mains and battery are read off the kernel's files; what it does not tell is not known."""

import pytest

from agent.power import read_power
from agent.wire import PowerState


def supplies(tmp_path, **made):
    """Write power supplies as the kernel shows them."""
    for name, files in made.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, None),
        ({"AC": {"type": "Mains", "online": "1"}}, PowerState(on_mains=True)),
        (
            {
                "AC": {"type": "Mains", "online": "0"},
                "BAT0": {"type": "Battery", "capacity": "72"},
            },
            PowerState(on_mains=False, battery_ratio=0.72),
        ),
        ({"BAT0": {"type": "Battery", "capacity": ""}}, None),
        ({"hid": {"type": "Wireless"}}, None),
    ],
)
def test_supplies(tmp_path, made, expected):
    """Each kind of supply says what it says, and no more."""
    assert expected == read_power(supplies(tmp_path, **made))


def test_no_such_folder(tmp_path):
    """A kernel without the folder is a PC that tells nothing."""
    assert read_power(tmp_path / "nowhere") is None
