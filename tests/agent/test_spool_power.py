"""Any life of a spool, with power cuts between any two of its writes, against plain sets."""

import random
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent import segments
from agent.config import SpoolLimits
from agent.spool import Pending, Spool
from agent.wire import Ack
from tests.agent.batches import make_batch
from tests.agent.power import Disk, PowerCut
from tests.agent.spools import EVERYTHING, body_of

LIMITS = [SpoolLimits(max_bytes=4_000), SpoolLimits(max_bytes=16_000), SpoolLimits()]
CUTS = st.none() | st.integers(0, 12)
"""After how many calls the power goes; None: it stays."""
Key = tuple[str, int]


class SpoolLife(RuleBasedStateMachine):
    """A spool on a disk that loses power, and what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool"
        self.disk = Disk(self.path, random.Random(1))
        self.limits = LIMITS[-1]
        self.runs = 0
        self.waiting: dict[Key, bytes] = {}
        self.doubtful: dict[Key, bytes] = {}
        """An append that did not return: there or not, but if, then whole."""
        self.acknowledged: dict[Key, bytes] = {}
        self.lost = 0
        self.never_sure = 0
        self.under_way: list[Pending] = []
        self.watch = self.disk.watched()
        self.watch.__enter__()

    @initialize(limits=st.sampled_from(LIMITS), seed=st.integers(0, 2**32))
    def begins(self, limits, seed):
        """Open the first spool."""
        self.limits = limits
        self.disk._chance.seed(seed)
        self.spool = self.opened()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.watch.__exit__(None, None, None)
        self.disk.come_back()
        self.folder.cleanup()

    @property
    def boot(self) -> str:
        """Name this run."""
        return f"{self.runs:032x}"

    def opened(self) -> Spool:
        """Start the next run of the agent, however often the power goes meanwhile."""
        while True:
            self.runs += 1
            try:
                return Spool(self.path, self.limits, boot=self.boot)
            except PowerCut:
                self.disk.come_back()

    # What happens

    @rule(number=st.integers(1, 4), cut=CUTS)
    def appends(self, number, cut):
        """Seal batches."""
        self.disk.calls_left = cut
        for _ in range(number):
            key = (self.boot, self.spool._seq + 1)
            body = body_of(make_batch(boot=self.boot), key[1])
            try:
                self.spool.append(make_batch(boot=self.boot))
            except PowerCut:
                self.doubtful[key] = body
                self.comes_back()
                return
            assert self.spool.state.failing == ""
            self.waiting[key] = body

    @rule(live=st.booleans(), limit=st.sampled_from([1, 2_000, EVERYTHING]))
    def sends(self, live, limit):
        """Take from a lane."""
        try:
            taken = (self.spool.live if live else self.spool.backlog)(limit)
        except PowerCut:
            self.comes_back()
            return
        keys = [pending.key for pending in taken]
        assert not {*keys} & {pending.key for pending in self.under_way}, "under way once"
        assert {p.key: p.body for p in taken}.items() <= self.waiting.items()
        self.under_way += taken

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), aside=st.booleans(), cut=CUTS)
    def is_answered(self, which, aside, cut):
        """Acknowledge a batch, or refuse it for good."""
        self.disk.calls_left = cut
        done = self.under_way.pop(which % len(self.under_way))
        self.never_sure += self.spool.state.dropped_batches > self.lost  # perhaps this one
        body = self.waiting.pop(done.key, None)
        if body is not None:
            self.acknowledged[done.key] = body
        try:
            if aside:
                self.spool.set_aside(done)
            else:
                self.spool.acknowledge([Ack(boot=done.boot, ranges=[(done.seq, done.seq)])])
            self.spool.release([done])
        except PowerCut:
            self.comes_back(interrupted=done if aside else None)

    @rule()
    def gives_up_sending(self):
        """Get no answer."""
        self.spool.release(self.under_way)
        self.under_way = []

    @rule(limits=st.sampled_from(LIMITS), cut=CUTS)
    def restarts(self, limits, cut):
        """End in order and start again, perhaps with other bounds."""
        self.limits = limits
        self.disk.calls_left = cut
        try:
            self.spool.close()
        except PowerCut:
            self.disk.come_back()
        self.under_way = []
        self.spool = self.opened()
        self.look_through()

    def comes_back(self, interrupted: Pending | None = None) -> None:
        """Start again after a power cut, and see what is left."""
        self.disk.come_back()
        self.under_way = []
        self.spool = self.opened()
        self.look_through(interrupted)

    def look_through(self, interrupted: Pending | None = None) -> None:
        """Hold that all is there but what was dropped and counted, and nothing else."""
        while True:
            try:
                everything = self.spool.backlog(EVERYTHING)
                break
            except PowerCut:
                self.disk.come_back()
                self.spool = self.opened()
        self.spool.release(everything)
        found = {pending.key: pending.body for pending in everything}
        assert len(found) == len(everything)
        known = self.waiting | self.doubtful | self.acknowledged
        assert found.items() <= known.items()
        self.lost += len(self.waiting.keys() - found.keys())
        self.never_sure += len(self.doubtful)
        dropped = self.spool.state.dropped_batches
        if interrupted and dropped == self.lost and interrupted.key not in found:
            beside = segments.read(self.path / "set-aside")
            kept = [segments.unpack(beside.data, record).key for record in beside.records]
            assert interrupted.key in kept, "neither waiting nor beside"
        self.doubtful.clear()
        for key in found:
            self.acknowledged.pop(key, None)  # its acknowledgement was lost: it is sent again
        self.waiting = found
        assert self.lost <= dropped <= self.lost + self.never_sure

    @invariant()
    def adds_up(self):
        """Hold that what waits, and what was counted as dropped, is all there was."""
        state = self.spool.state
        gone = state.dropped_batches - self.lost
        assert 0 <= gone
        assert state.pending_batches + gone <= len(self.waiting) + self.never_sure
        assert state.pending_batches + gone >= len(self.waiting)


SpoolLife.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_a_life_with_power_cuts = SpoolLife.TestCase
