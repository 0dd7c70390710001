"""What all tests share: the golden files, and hypothesis without a stopwatch."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent

# This machine is shared, in CI as at a desk: a slow example is no mistake.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew from what the code does now; read the diff before committing",
    )


@pytest.fixture
def golden(request) -> Callable[[str, str], None]:
    """Return a check of a text against a golden file, given by its path below tests/."""

    def check(path: str, text: str) -> None:
        file = TESTS / path
        if request.config.getoption("--update-golden"):
            file.write_text(text, "utf-8")
        kept = file.read_text("utf-8") if file.exists() else ""
        assert text == kept, f"{path} differs; if that is meant: pytest --update-golden"

    return check
