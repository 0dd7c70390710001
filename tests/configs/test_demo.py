"""The demo's files, without running it (tests/e2e/test_demo.py does)."""

from importlib import import_module
from pathlib import Path

import pytest

from collector.inventory.load import load

DEMO = Path(__file__).parents[2] / "configs" / "demo"
NAMES = {
    "loopback": "127.0.0.1",
    "gateway": "192.0.2.1",
    "centre": "https://localhost:8443",
    "ca": "/somewhere/cert.pem",
    "portal": "http://127.0.0.1:8480/",
}


@pytest.fixture
def here(monkeypatch):
    """Import what the demo imports, the way a script beside it does."""
    monkeypatch.syspath_prepend(str(DEMO))
    return import_module("here")


def test_the_demo_province_is_phu_tho_with_checks_of_this_machine(here, tmp_path):
    """The folder is without mistakes; every commune measures every check."""
    assert here.write_province(tmp_path / "phu-tho", NAMES) == []

    inventory = load(tmp_path / "phu-tho")

    assert inventory.id == "phu-tho"
    assert list(inventory.checks) == ["loopback", "gateway", "resolver", "centre", "portal"]
    communes = here.some_communes(inventory, 2)
    assert len(communes) == 6
    assert len({inventory.sites[agent].former_province for agent in communes}) == 3
    for agent in communes:
        assert len(inventory.configs[agent].checks) == 5


def test_what_this_machine_has_not_is_left_out_in_words(here, tmp_path, monkeypatch):
    """No router, or no right to ping: the checks that need it are named and left out."""
    monkeypatch.setattr(here, "may_ping", lambda: True)
    lines = here.write_province(tmp_path / "a" / "phu-tho", NAMES | {"gateway": None})

    assert lines == ["check gateway is left out: no router is known here"]
    assert "gateway" not in load(tmp_path / "a" / "phu-tho").checks

    monkeypatch.setattr(here, "may_ping", lambda: False)
    lines = here.write_province(
        tmp_path / "b" / "phu-tho", NAMES | {"gateway": None, "loopback": None}
    )

    assert lines == [
        "check loopback is left out: this user may not send pings",
        "check gateway is left out: this user may not send pings",
    ]


@pytest.mark.parametrize(
    ("table", "address"),
    [
        ("eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0", "192.0.2.1"),
        ("eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0", None),
        ("", None),
    ],
)
def test_the_router_is_read_from_the_kernel(here, tmp_path, monkeypatch, table, address):
    """The default route's gateway; None where there is no default route."""
    (tmp_path / "route").write_text(f"Iface\tDestination\n{table}".strip() + "\n")
    monkeypatch.setattr(here, "ROUTES", tmp_path / "route")

    assert here.gateway() == address
