"""A cable between two namespaces, as bad as a test wants it: two TAP devices and what lies between.

    with cable(a, "wan", b, "lan", seed=7) as line:
        ip("addr add 10.7.1.1/24 dev wan", a)
        ip("addr add 10.7.1.2/24 dev lan", b)
        line.set(forward={"loss": 0.02}, backward={"delay_seconds": 0.04, "jitter_seconds": 0.005})
        ...
        assert line.counters().forward.lost == 3

Forward is from the first end to the second. `set` returns when it is in force; what it does not
name stays as it was. The kernel has no `tc netem` on every machine; this needs only /dev/net/tun.
ARP and neighbour discovery pass at once unless the direction is down, and are not counted: a seed
gives the n-th packet of a test the same fate each time, and the first is not held up.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from tests.lab.namespaces import inside, ip

TUNSETIFF = 0x400454CA
TAP_WITHOUT_HEADER = 0x0002 | 0x1000
QUEUE_BYTES = 128 << 10
"""What waits for `bits_per_second` is at most this; the rest is lost, as at a router's port."""
AT_ONCE = 64
"""Frames taken from one end before the other has its turn."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What happens to the frames of one direction. Ratios are of 1."""

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    """Standard deviation of the delay; the order of the frames is kept."""
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Of the frames, how many are not delayed and so overtake those before them."""
    bits_per_second: float = 0.0
    """0 is no limit."""
    down: bool = False
    """Everything is lost, without a word."""


@dataclass(slots=True)
class Counters:
    """Frames of one direction since the cable was made."""

    taken: int = 0
    lost: int = 0
    """By `loss`."""
    duplicated: int = 0
    overtaking: int = 0
    overflowed: int = 0
    """Lost because the queue in front of `bits_per_second` was full."""


@dataclass(frozen=True, slots=True)
class Both:
    """The counters of both directions."""

    forward: Counters
    backward: Counters


class Cable:
    """One running cable, as a test holds it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def set(self, **directions: dict[str, Any]) -> Both:
        """Change `forward`, `backward` or `both`, by the names in Direction; in force on return."""
        both = directions.pop("both", {})
        told = {name: both | directions.pop(name, {}) for name in ("forward", "backward")}
        assert not directions, f"a cable has no {', '.join(directions)}"
        for words in told.values():
            Direction(**words)  # TypeError here rather than there
        return self._tell(told)

    def counters(self) -> Both:
        """Return what happened until now."""
        return self._tell({})

    def _tell(self, words: dict[str, Any]) -> Both:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(words).encode() + b"\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the cable's program has ended"
        found = json.loads(answer)
        return Both(Counters(**found["forward"]), Counters(**found["backward"]))


@contextmanager
def cable(
    first: str, first_name: str, second: str, second_name: str, *, seed: int = 1
) -> Iterator[Cable]:
    """Lay a cable between an interface of one namespace and one of another; both are made, and up.

    They have no addresses yet, and vanish with the cable.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, first, first_name, second, second_name, str(seed)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            laid = Cable(process)
            laid.counters()  # it answers when it lies
            yield laid
        finally:
            assert process.stdin
            process.stdin.close()  # upon which it ends by itself
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


# The program


@dataclass(slots=True)
class Wire:
    """One direction: from one TAP to the other."""

    source: int
    sink: int
    draw: random.Random
    what: Direction = Direction()
    counters: Counters = field(default_factory=Counters)
    free_at: float = 0.0
    """When the last frame has left at `bits_per_second`."""
    last_due: float = 0.0
    _due: list[tuple[float, int, bytes]] = field(default_factory=list)
    _number: int = 0

    def take(self, now: float) -> None:
        """Read what came in and decide when it goes out."""
        for _ in range(AT_ONCE):
            try:
                frame = os.read(self.source, 1 << 16)
            except BlockingIOError:
                return
            if self.what.down:
                continue
            if is_neighbour_talk(frame):
                self._put(now, frame)
            else:
                self._decide(now, frame)

    def _decide(self, now: float, frame: bytes) -> None:
        what, chance, counted = self.what, self.draw.random, self.counters
        counted.taken += 1
        # Each frame draws four times, whatever is set: its fate depends on its number alone.
        lost, doubled, overtakes = (
            chance() < ratio for ratio in (what.loss, what.duplicate, what.reorder)
        )
        delay = max(0.0, what.delay_seconds + self.draw.gauss(0, 1) * what.jitter_seconds)
        if lost:
            counted.lost += 1
            return
        begins = now
        if what.bits_per_second:
            begins = max(now, self.free_at)
            if (begins - now) * what.bits_per_second / 8 > QUEUE_BYTES:
                counted.overflowed += 1
                return
            begins = self.free_at = begins + len(frame) * 8 / what.bits_per_second
        if overtakes:
            counted.overtaking += 1
            due = begins
        else:
            due = self.last_due = max(begins + delay, self.last_due)
        self._put(due, frame)
        if doubled:
            counted.duplicated += 1
            self._put(due, frame)

    def _put(self, due: float, frame: bytes) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, frame))

    def give(self, now: float) -> None:
        """Write what is due."""
        while self._due and self._due[0][0] <= now:
            try:
                os.write(self.sink, heapq.heappop(self._due)[2])
            except OSError:  # the interface is down there: lost, as on any cable
                continue

    @property
    def next_due(self) -> float:
        """When the next frame must be written; infinity when none waits."""
        return self._due[0][0] if self._due else float("inf")


def is_neighbour_talk(frame: bytes) -> bool:
    """Whether a frame is ARP, neighbour discovery (RFC 4861) or multicast listening (RFC 3810)."""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return True
    if kind != b"\x86\xdd":
        return False
    after = 54
    following = frame[20]
    if following == 0:  # hop-by-hop options, as multicast listening has them
        following, after = frame[54], 62
    return following == 58 and (130 <= frame[after] <= 137 or frame[after] == 143)


def main(first: str, first_name: str, second: str, second_name: str, seed: str) -> None:
    """Carry frames until standard input ends; each line there is answered when it is in force."""
    near, far = _tap(first, first_name), _tap(second, second_name)
    wires = {
        "forward": Wire(near, far, random.Random(f"{seed} forward")),
        "backward": Wire(far, near, random.Random(f"{seed} backward")),
    }
    orders: IO[bytes] = sys.stdin.buffer.raw  # type: ignore[attr-defined]  # no text buffer between
    while True:
        now = time.monotonic()
        wait = min(wire.next_due for wire in wires.values()) - now
        timeout = None if wait == float("inf") else max(0.0, wait)
        ready, _, _ = select.select([near, far, orders], [], [], timeout)
        now = time.monotonic()
        if orders in ready:
            line = orders.readline()
            if not line:
                return
            for name, words in json.loads(line).items():
                wires[name].what = replace(wires[name].what, **words)
            print(json.dumps({n: asdict(w.counters) for n, w in wires.items()}), flush=True)
        for wire in wires.values():
            if wire.source in ready:
                wire.take(now)
            wire.give(time.monotonic())


def _tap(namespace: str, name: str) -> int:
    with inside(namespace):
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", name.encode(), TAP_WITHOUT_HEADER)
        fcntl.ioctl(tap, TUNSETIFF, request)
    ip(f"link set {name} up\n", namespace)
    return tap


if __name__ == "__main__":
    main(*sys.argv[1:])
