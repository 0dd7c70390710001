"""Which packets of a media session were lost where, and which were overtaken. Numbers in and out.

Needs a reflector that numbers its replies itself, in the order in which it got the packets
(stateful mode of RFC 8762): its numbers tell what one direction lost from what the other did.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from agent.wire.stamp_packet import Totals

Pair = tuple[int, int]
"""A packet's number by the sender, and its reply's by the reflector."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost of what was sent; a range where either direction may have lost it."""

    least: float
    most: float
    """Ratios, 0 to 1; the same where the loss is known."""
    runs: tuple[int, ...] | None
    """Packets lost in a row, each time; None where it cannot be told which were lost."""

    @property
    def ratio(self) -> float | None:
        """The ratio; None where only a range is known."""
        return self.least if self.least == self.most else None

    @property
    def longest_run(self) -> int | None:
        """Most packets lost in a row; 0 without loss, None where it cannot be told."""
        return None if self.runs is None else max(self.runs, default=0)

    @property
    def burst_ratio(self) -> float | None:
        """Mean run against that of loss by chance (BurstR of G.107); None without known runs."""
        return sum(self.runs) / len(self.runs) * (1 - self.least) if self.runs else None


class Losses(NamedTuple):
    """A session's losses; None where nothing was sent that way."""

    roundtrip: Loss | None
    forward: Loss | None
    backward: Loss | None


class Late(NamedTuple):
    """A packet that packets sent after it overtook (RFC 4737)."""

    seq: int
    position: int
    """In the order of arrival, from 1."""
    extent: int
    """How many packets ago the first of them came (4.2)."""
    n: int
    """How many of them came right before it (5.4); three look like a loss to TCP."""


def losses(pairs: Iterable[Pair], sent: int, totals: Totals | None) -> Losses:
    """Return what was lost of the numbers 0 to `sent` - 1.

    `pairs` of all replies that came, in any order, copies included. `totals`: the reflector's count
    at the end; what came back proves more than a count that was taken too early. Without it, what
    is missing behind the last reply may have been lost either way.
    """
    replies = sorted({reply: seq for seq, reply in pairs}.items())
    answered = sorted({seq for _, seq in replies})
    reflected = replies[-1][0] + 1 if replies else 0
    unsure = 0
    if totals:
        reflected = max(reflected, totals.reflected)
        lost = sent - min(sent, max(totals.unique, len(answered)))
    else:
        unsure = sent - (answered[-1] + 1 if answered else 0)
        copies = len(replies) - len(answered)
        lost = max(0, sent - unsure - (reflected - copies))
    forward_runs = backward_runs = None
    if not unsure:
        backward_runs = _gaps([reply for reply, _ in replies], reflected)
        forward_runs = _forward_runs(replies, answered, sent, reflected)
        if sum(forward_runs) != lost:
            forward_runs = None
    unanswered = (sent - len(answered), sent)
    back = reflected - len(replies)
    return Losses(
        _loss(unanswered, unanswered, _gaps(answered, sent)),
        _loss((lost, sent), (lost + unsure, sent), forward_runs),
        _loss((back, reflected), (back + unsure, reflected + unsure), backward_runs),
    )


def reordering(numbers: Iterable[int]) -> list[Late]:
    """Return the overtaken packets (RFC 4737) among numbers in order of arrival, no copies."""
    found = []
    highest: list[int] = []  # each number above all before it, and where it stood
    highest_at: list[int] = []
    below: list[tuple[int, int]] = []  # rising numbers that end at the one before, and where
    for position, seq in enumerate(numbers, 1):
        while below and below[-1][0] > seq:
            below.pop()
        if not highest or seq > highest[-1]:
            highest.append(seq)
            highest_at.append(position)
        else:
            first = highest_at[bisect_right(highest, seq)]
            last_below = below[-1][1] if below else 0
            found.append(Late(seq, position, position - first, position - last_below - 1))
        below.append((seq, position))
    return found


def zero_loss_upper_bound(packets: int) -> float:
    """Return the loss that so many packets without loss still leave possible, at 95 %: some 3/n."""
    return 1 - 0.05 ** (1 / packets) if packets else 1.0


def _loss(least: tuple[int, int], most: tuple[int, int], runs: list[int] | None) -> Loss | None:
    """Return the loss between two counts, each lost and sent; None if nothing can have been."""
    if not most[1]:
        return None
    ratio = least[0] / least[1] if least[1] else 0.0
    return Loss(ratio, most[0] / most[1], None if runs is None else tuple(runs))


def _gaps(numbers: Iterable[int], end: int) -> list[int]:
    """Return how many numbers are missing in a row, each time, of 0 to `end` - 1; rising ones."""
    return _holes((-1, *numbers, end))


def _holes(numbers: Iterable[int]) -> list[int]:
    return [later - earlier - 1 for earlier, later in pairwise(numbers) if later - earlier > 1]


def _forward_runs(
    replies: Sequence[tuple[int, int]], answered: list[int], sent: int, reflected: int
) -> list[int]:
    """Return the runs that were surely lost on the way there.

    Between two packets that came in order, what is unanswered was lost there if no reply is
    missing. If some are, only the totals can tell whether all of it was lost on the way back.
    """
    rank = {seq: at for at, seq in enumerate(answered)}
    runs: list[int] = []
    before = before_reply = before_rank = before_at = -1
    for at, (reply, seq) in enumerate((*replies, (reflected, sent))):
        if seq <= before:  # overtaken, or a copy
            continue
        seq_rank = rank.get(seq, len(answered))
        holes = _holes((before, *answered[before_rank + 1 : seq_rank], seq))
        missing = reply - before_reply - (at - before_at)
        if not missing:
            runs += holes
        before, before_reply, before_rank, before_at = seq, reply, seq_rank, at
    return runs
