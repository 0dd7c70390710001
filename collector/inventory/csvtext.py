"""CSV into rows of text cells: each mistake is noted with its line and column."""

import csv
import io
import ipaddress
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.config import ID
from collector.inventory.problems import WORD, read_text


@dataclass(slots=True)
class Row:
    """One line of a table and what is wrong with it."""

    file: str
    line: int
    cells: dict[str, str]
    problems: list[str]
    good: bool = True
    whole: bool = True
    """Whether there were as many cells as columns; if not, only the first few mean something."""

    def refuse(self, column: str, expected: str) -> None:
        """Note a mistake in one cell."""
        self.good = False
        where = f"{self.file} line {self.line}, column {column}"
        self.problems.append(f"{where}: found {self.cells[column]!r}, expected {expected}")

    def word(self, column: str) -> str:
        """Return a cell that names something."""
        if not ID.fullmatch(self.cells[column]):
            self.refuse(column, WORD)
        return self.cells[column]

    def text(self, column: str) -> str:
        """Return a cell that may not be empty."""
        if not self.cells[column]:
            self.refuse(column, "some text")
        return self.cells[column]

    def one_of(self, column: str, words: tuple[str, ...]) -> str:
        """Return a cell that must be one of some words."""
        if self.cells[column] not in words:
            self.refuse(column, f"one of these: {', '.join(words)}")
        return self.cells[column]

    def number(self, column: str, low: float, high: float) -> float | None:
        """Return a number within bounds; None where the cell is empty."""
        text = self.cells[column]
        try:
            value = float(text) if text else None
        except ValueError:
            self.refuse(column, f"a number with a decimal point, {low:g} to {high:g}")
            return None
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            self.refuse(column, f"{low:g} to {high:g}")
        return value

    def address(self, column: str) -> str:
        """Return a cell that holds an IP address, or nothing."""
        text = self.cells[column]
        try:
            return str(ipaddress.ip_address(text)) if text else ""
        except ValueError:
            self.refuse(column, "an IP address")
            return text


def read_rows(path: Path, header: str, unread: set[str], problems: list[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file. Its name stays in `unread` if some of it cannot be read."""
    text = read_text(path, problems) if path.exists() else None
    unread.add(path.name)
    if text is None:
        return
    columns = header.split(",")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        found = [cell.strip() for cell in next(reader, [])]
        if found != columns:
            problems.append(f"{path.name} line 1: {_wrong_header(found, columns)}")
            return
        line = reader.line_num + 1
        for cells in reader:
            row = _row(path.name, line, columns, cells, problems)
            line = reader.line_num + 1
            if row:
                yield row
        unread.remove(path.name)
    except csv.Error as exc:
        problems.append(f"{path.name} line {line}: is not CSV: {exc}")


def _row(
    file: str, line: int, columns: list[str], cells: list[str], problems: list[str]
) -> Row | None:
    """Return one row, None for an empty line."""
    stripped = [cell.strip() for cell in cells]
    if not any(stripped):
        return None
    padded = stripped + [""] * len(columns)
    row = Row(file, line, dict(zip(columns, padded, strict=False)), problems)
    if len(cells) != len(columns):
        row.good = row.whole = False
        problems.append(
            f"{file} line {line}: found {len(cells)} cells, expected {len(columns)}; "
            "a text with a comma in it needs quotes"
        )
    elif not all(cell.isprintable() for cell in stripped):
        row.good = row.whole = False
        problems.append(f"{file} line {line}: a cell holds a line break or a control character")
    return row


def _wrong_header(found: list[str], columns: list[str]) -> str:
    if len(found) == 1 and found[0].count(";") == len(columns) - 1:
        return "the columns are separated by ';', expected ','"
    return f"found the header {','.join(found)!r}, expected {','.join(columns)!r}"
