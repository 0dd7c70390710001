"""What the spool says it still holds: with what the centre has, it accounts for every number."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import Spool
from agent.wire import Held, Ranges
from tests.agent.batches import BOOT, OLD_BOOT
from tests.agent.spools import SMALL, ack, appended, fill, opened


def test_tells_how_far_it_is_and_what_waits(tmp_path):
    """The running boot first, with its newest number; what was acknowledged is not held."""
    with opened(tmp_path) as spool:
        assert spool.state.held == [Held(boot=BOOT)]
        appended(spool, 9)
        spool.acknowledge([ack(1, 2), ack(5, 5)])
        assert spool.state.held == [Held(boot=BOOT, sealed=9, pending=[(3, 4), (6, 9)])]
        spool.acknowledge([ack(1, 9)])
        assert spool.state.held == [Held(boot=BOOT, sealed=9)]


def test_tells_of_earlier_boots_while_they_have_something_left(tmp_path):
    """How far an earlier boot came is not known here; what is left of it is."""
    fill(tmp_path, 7, None)
    with opened(tmp_path) as spool:
        appended(spool, 1)
        spool.acknowledge([ack(2, 4, OLD_BOOT)])
        assert spool.state.held == [
            Held(boot=BOOT, sealed=1, pending=[(1, 1)]),
            Held(boot=OLD_BOOT, pending=[(1, 1), (5, 7)]),
        ]
        spool.acknowledge([ack(1, 7, OLD_BOOT)])
        assert spool.state.held == [Held(boot=BOOT, sealed=1, pending=[(1, 1)])]


def test_what_only_memory_holds_waits_too(tmp_path, monkeypatch):
    """While the disk takes nothing the numbers go on, and none of them looks lost."""
    with opened(tmp_path) as spool:
        appended(spool, 2)
        monkeypatch.setattr(spool._store, "write", lambda _: False)
        appended(spool, 3)
        assert spool.state.held == [Held(boot=BOOT, sealed=5, pending=[(1, 5)])]


def test_a_number_is_told_once_its_batch_is_safe(tmp_path, monkeypatch):
    """Of a batch that a power cut may take in the midst of its first write, no push speaks."""
    seen: list[Held] = []
    with opened(tmp_path) as spool:
        write = Spool._write

        def watched(self):
            seen.extend(self.state.held)
            write(self)
            seen.extend(self.state.held)

        monkeypatch.setattr(Spool, "_write", watched)
        appended(spool, 3)
    assert [held.sealed for held in seen] == [0, 1, 1, 2, 2, 3]
    for held in seen:
        assert held.pending == ([(1, held.sealed)] if held.sealed else [])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.just("append"),
            st.tuples(st.integers(1, 60), st.integers(0, 9)),
            st.just("set aside"),
        ),
        max_size=60,
    )
)
def test_every_number_is_acknowledged_held_or_counted(tmp_path_factory, steps):
    """Whatever happens, numbers = the centre's + held + dropped + set aside."""
    with opened(tmp_path_factory.mktemp("spool"), SMALL) as spool:
        centre = Ranges()
        for step in steps:
            if step == "append":
                appended(spool, 3)
            elif step == "set aside":
                for pending in spool.backlog(1):
                    spool.set_aside(pending)
                    spool.release([pending])
            elif step[0] <= spool._seq:
                first, last = step[0], min(step[0] + step[1], spool._seq)
                pending = Ranges(spool.state.held[0].pending)
                for number in range(first, last + 1):
                    if number in pending:
                        centre.add(number)
                spool.acknowledge([ack(a, b) for a, b in centre])
        state = spool.state
        (held,) = state.held
        lost = Ranges([(1, held.sealed)] if held.sealed else ()).without(Ranges(held.pending))
        assert lost.without(centre).total == state.dropped_batches + state.set_aside_batches
