"""Whatever the files hold, a person gets words and never a traceback."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.inventory.load import load
from collector.inventory.report import report
from tests.collector.inventory.folders import FILES, problems, write

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BITS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        '"',
        "'",
        "\n",
        "\r",
        "\t",
        "\x00",
        "&a",
        "*a",
        "!!python",
        "<<",
    ),
    *(
        "null",
        "yes",
        "04371",
        "-1",
        "0",
        "1e999",
        ".nan",
        "2025-13-45",
        "0x",
        "9" * 5000,
        "ệ",
        "\ud7ff",
    ),
    *(
        "each",
        "any",
        "{site.web}",
        "{line.anchor}",
        "{{",
        "{",
        "none",
        "source",
        "\\U00110000",
        '"\\ud800"',
    ),
    *("- - - - ", "[" * 500, "? ", "| ", "\u2028", "\xa0", "é", "%TAG", "---\n", "...\n"),
]


def judge(files: dict[str, bytes]) -> None:
    """Load a folder: it is refused in words, or its report can be written."""
    with tempfile.TemporaryDirectory() as parent:
        folder = write(Path(parent), {})
        for name, content in files.items():
            (folder / name).write_bytes(content)
        told = problems(folder)  # any other exception fails the test
        assert all(problem and "\n" not in problem for problem in told)
        if not told:
            assert report(load(folder))


@SETTINGS
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=300))
def test_random_bytes_are_refused_in_words(name, content):
    """A file of any bytes."""
    files = {file: text.encode() for file, text in FILES.items()}
    judge({**files, name: content})


@SETTINGS
@given(st.data())
def test_mutated_files_load_or_are_refused_in_words(data):
    """Pieces cut out of good files, and things put in that once broke a parser."""
    files = dict(FILES)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(files)))
        text = files[name]
        begins = data.draw(st.integers(0, len(text)))
        ends = min(len(text), begins + data.draw(st.sampled_from([0, 0, 1, 5, 40])))
        files[name] = text[:begins] + data.draw(st.sampled_from(BITS)) + text[ends:]
    judge({name: text.encode() for name, text in files.items()})


@SETTINGS
@given(st.data())
def test_any_value_in_place_of_another_is_refused_in_words(data):
    """YAML values of every kind where another kind belongs."""
    value = data.draw(
        st.sampled_from(
            ["[]", "{}", "null", "''", "5", "-0.0", ".inf", "true", "[a]", "{a: b}", "2025-06-29"]
        )
    )
    name = data.draw(st.sampled_from(["province.yml", "checks.yml"]))
    lines = FILES[name].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    key, colon, _ = lines[number].partition(":")
    lines[number] = f"{key}{colon} {value}"
    judge({file: text.encode() for file, text in {**FILES, name: "\n".join(lines)}.items()})
