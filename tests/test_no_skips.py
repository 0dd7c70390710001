"""The plugin that turns skips into failures in CI."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SKIPPING = """
import pytest
def test_skips(): pytest.skip("no such component")
def test_runs(): pass
@pytest.mark.xfail
def test_expected(): raise AssertionError
"""


@pytest.mark.parametrize(
    ("ci", "count"),
    [("true", "1 failed, 1 passed, 1 xfailed"), ("", "1 passed, 1 skipped, 1 xfailed")],
)
def test_a_skip_fails_only_in_ci(tmp_path, ci, count):
    """The same file fails with CI set and passes without; the reason is named both times."""
    (tmp_path / "test_it.py").write_text(SKIPPING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.no_skips",
        "-ra",
        "-p",
        "no:cacheprovider",
    ]

    run = subprocess.run(
        [*command, "--rootdir", tmp_path, "-c", "/dev/null", tmp_path],
        cwd=ROOT,
        env={"CI": ci, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert count in run.stdout, run.stdout + run.stderr
    assert "no such component" in run.stdout


def test_a_module_that_skips_itself_fails_in_ci(tmp_path):
    """A module that skips while it is read hides every test in it: that fails too."""
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.no_skips", "-c", "/dev/null", tmp_path],
        cwd=ROOT,
        env={"CI": "true", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode != 0
    assert "no_such_module" in run.stdout
