"""Accounts: what became of every batch an agent numbered. Pure.

An agent numbers its batches 1, 2, 3 … without holes, says how far it is, and which numbers it still
holds; the journal knows which it has. What is neither stored nor held is lost, and the agent's own
totals (given up by its bounds, set aside, damaged) say how. What is left is unaccounted for, and is
said to be: it is never guessed at.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from agent.wire import Ranges

Loss = Literal["dropped", "set_aside", "damaged", "memory"]
"""dropped: by the spool's bounds of age and size · set_aside: refused for good, kept beside ·
damaged: could not be read back · memory: numbered and not on disk when the program ended."""
LOSSES: tuple[Loss, ...] = ("dropped", "set_aside", "damaged", "memory")


class Totals(Struct, frozen=True, kw_only=True):
    """What a spool has counted since it was made."""

    dropped: int = 0
    set_aside: int = 0
    damaged: int = 0


class Boot(Struct, kw_only=True):
    """One run of an agent's program, oldest first where there are several."""

    boot: str
    sealed: int
    """The highest number that is known of."""
    stored: Ranges
    """What the journal has had."""
    pending: Ranges
    """What the agent still holds, by its newest word."""
    losses: dict[Loss, Ranges]
    running: bool = False
    """Whether it is the run that spoke last."""
    left: Ranges = Ranges()
    """What it still held by its own last word."""


class Account(Struct, frozen=True, kw_only=True):
    """What became of a boot's batches; the parts add up to `sealed`."""

    boot: str
    sealed: int
    stored: int
    pending: int
    dropped: int
    set_aside: int
    damaged: int
    memory: int
    unaccounted: int


def fates(boot: Boot) -> dict[str, Ranges]:
    """Return each number up to `sealed` under one word: what is stored is stored, whatever was said."""
    left = Ranges([(1, boot.sealed)] if boot.sealed else ())
    found: dict[str, Ranges] = {}
    said: dict[str, Ranges] = {"stored": boot.stored, "pending": boot.pending}
    said |= {str(word): ranges for word, ranges in boot.losses.items()}
    for word in ("stored", "pending", *LOSSES):
        rest = left.without(said.get(word, Ranges()))
        found[word] = left.without(rest)
        left = rest
    found["unaccounted"] = left
    return found


def account(boot: Boot) -> Account:
    """Count a boot's fates."""
    counts = {word: ranges.total for word, ranges in fates(boot).items()}
    return Account(boot=boot.boot, sealed=boot.sealed, **counts)


def place_losses(boots: Sequence[Boot], totals: Totals) -> list[tuple[str, Loss, Ranges]]:
    """Return what the agent's totals say of numbers nobody can account for yet: boot, how, which.

    The totals count more than the losses that are known: that many of the numbers are given to each
    cause, the oldest to the spool's bounds, which always take the oldest. What a boot that has ended
    held by its own last word, and the next one does not, was in memory only. A number that was
    acknowledged and is not in the journal has no such cause: it stays unaccounted for.
    """
    left = [(boot, fates(boot)["unaccounted"]) for boot in boots]
    known = {word: sum(boot.losses.get(word, Ranges()).total for boot in boots) for word in LOSSES}
    placed: list[tuple[str, Loss, Ranges]] = []
    wanted: tuple[tuple[Loss, int], ...] = (
        ("dropped", totals.dropped - known["dropped"]),
        ("set_aside", totals.set_aside - known["set_aside"]),
        ("damaged", totals.damaged - known["damaged"]),
    )
    for word, number in wanted:
        for place, (boot, numbers) in enumerate(left):
            taken = _first(numbers, number)
            if taken.total:
                number -= taken.total  # noqa: PLW2901 - what is still wanted
                left[place] = (boot, numbers.without(taken))
                placed.append((boot.boot, word, taken))
    for boot, numbers in left:
        gone = numbers.without(numbers.without(boot.left))
        if gone.total and not boot.running:
            placed.append((boot.boot, "memory", gone))
    return placed


def add_losses(boot: Boot, losses: Iterable[tuple[Loss, Ranges]]) -> None:
    """Take losses that were found."""
    for word, ranges in losses:
        known = boot.losses.setdefault(word, Ranges())
        for first, last in ranges:
            known.add(first, last)


def _first(numbers: Ranges, most: int) -> Ranges:
    """Return the least numbers, `most` of them."""
    taken = Ranges()
    for first, last in numbers:
        if most <= 0:
            break
        end = min(last, first + most - 1)
        taken.add(first, end)
        most -= end - first + 1
    return taken


def whole(accounts: Iterable[Account]) -> Mapping[str, int]:
    """Return the sums over several boots."""
    sums = dict.fromkeys(Account.__struct_fields__[1:], 0)
    for one in accounts:
        for word in sums:
            sums[word] += getattr(one, word)
    return sums
