"""Saying what is wrong with a folder: every mistake with its place, all of them at once."""

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 4 << 20
WORD = "small letters, digits, '.', '_' or '-', at most 64"
"""What agent.config.ID takes, in words."""


class FolderError(Exception):
    """What a person has to mend: one line per mistake, all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_text(path: Path, problems: list[str]) -> str | None:
    """Return a file's text, NFC; None after a problem was noted.

    One spelling of each letter: the Mac writes `ạ` as two characters, and names are compared.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            problems.append(f"{path.name}: is larger than {MAX_BYTES >> 20} MiB")
            return None
        raw = path.read_bytes()
    except OSError as exc:
        problems.append(f"{path.name}: cannot be read: {exc.strerror}")
        return None
    try:
        return unicodedata.normalize("NFC", raw.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        problems.append(
            f"{path.name} line {line}: is not UTF-8; save it as UTF-8 (in a spreadsheet: "
            f"“CSV UTF-8”)"
        )
        return None


def known(word: str, words: Iterable[str]) -> str:
    """Return what was expected instead of an unknown word, the nearest one if any is near."""
    words = list(words)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.75)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(words) > 12:
        return f"expected one of the {len(words)} that the folder names"
    return f"expected one of: {', '.join(words) or 'none'}"
