"""The lock files: in step with pyproject.toml, whole, and from no named registry."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.programs import DEBIAN_PACKAGE

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUN = PROJECT["project"]["dependencies"]
EXTRA = PROJECT["project"]["optional-dependencies"]["signatures"]
BUILD = PROJECT["dependency-groups"]["build"] + PROJECT["build-system"]["requires"]
DEV = PROJECT["dependency-groups"]["dev"]


def pins(name: str) -> dict[str, str]:
    """Return a lock's versions by package."""
    text = (ROOT / name).read_text("utf-8")
    return {
        canonicalize_name(package): version
        for package, version in re.findall(r"(?m)^([\w.-]+)==([\w.]+)", text)
    }


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("requirements.lock", RUN),
        ("requirements-signatures.lock", RUN + EXTRA),
        ("requirements-build.lock", BUILD),
        ("requirements-dev.lock", RUN + EXTRA + BUILD + DEV),
    ],
)
def test_a_lock_pins_what_pyproject_asks_for(lock, asked):
    """A dependency that was added or raised without `make lock` is found here."""
    pinned = pins(lock)

    for text in asked:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name), "absent")
        assert version != "absent", f"{requirement.name} is not in {lock}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} but {version}: make lock"


def test_tests_run_what_ships():
    """What a commune's PC gets and what the tests run are the same versions."""
    tested = pins("requirements-dev.lock")

    for lock in ("requirements.lock", "requirements-signatures.lock", "requirements-build.lock"):
        assert pins(lock).items() <= tested.items()
    assert pins("requirements.lock").items() <= pins("requirements-signatures.lock").items()


def test_a_pc_gets_the_extra_only_where_it_is_asked_for():
    """What every PC installs has nothing of what two kinds of checks need."""
    assert "cryptography" not in pins("requirements.lock")


@pytest.mark.parametrize("lock", [path.name for path in ROOT.glob("requirements*.lock")])
def test_a_lock_is_hashed_and_names_no_registry(lock):
    """Whatever serves the packages, they are the ones that were tested."""
    text = (ROOT / lock).read_text("utf-8")

    assert "://" not in text
    for block in re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]:
        assert "--hash=sha256:" in block, block


def test_ci_installs_every_program_that_a_test_may_ask_for():
    """A program known to tests/programs.py is in the list that `make test` installs."""
    listed = (ROOT / ".ci" / "debian-packages.txt").read_text("utf-8").splitlines()

    assert set(DEBIAN_PACKAGE.values()) <= set(listed)
