"""Power cuts, rot, full disks: what was undamaged is kept, what was lost is counted."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import segments
from agent.spool import LIVE_BATCHES
from agent.wire import Ack
from tests.agent.batches import BOOT, OLD_BOOT, make_batch
from tests.agent.spools import EVERYTHING, SMALL, appended, body_of, fill, opened, seqs

ROOT = Path(__file__).parents[2]


def contents(directory: Path, limits=SMALL) -> dict[int, bytes]:
    """Open a spool and return all that waits in it."""
    with opened(directory, limits) as spool:
        return {pending.seq: pending.body for pending in spool.backlog(EVERYTHING)}


@contextmanager
def copy_of(directory: Path):
    """Work on a copy, so that one spool serves many cases."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "spool"
        shutil.copytree(directory, copy)
        yield copy


def test_a_tail_cut_at_any_byte_costs_the_last_batch_only(tmp_path):
    """A write that a power cut stopped half way is cut off and counted, once."""
    expected = fill(tmp_path, 3)
    whole = next(tmp_path.glob("*.seg"))
    last = segments.scan(whole.read_bytes())[0][-1]
    del expected[3]
    for length in range(last.start, last.end):
        with copy_of(tmp_path) as directory:
            os.truncate(directory / whole.name, length)

            assert contents(directory) == expected
            with opened(directory) as spool:
                assert spool.state.damaged_records == (length > last.start)
                assert seqs(spool.backlog(EVERYTHING)) == [1, 2]
                appended(spool, 1)
                assert seqs(spool.live(EVERYTHING)) == [1]


def test_damage_in_the_middle_is_put_aside(tmp_path):
    """What stands before and after it is kept; the damaged bytes lie beside for a person."""
    expected = fill(tmp_path, 9)
    second = sorted(tmp_path.glob("*.seg"))[1]
    data = second.read_bytes()
    start, end = segments.scan(data)[0][1][-2:]
    second.write_bytes(data[: start + 30] + b"\0" * 40 + data[start + 70 :])
    del expected[5]

    assert contents(tmp_path) == expected
    aside = second.with_suffix(".damaged").read_bytes()
    assert aside == data[start : start + 30] + b"\0" * 40 + data[start + 70 : end]
    with opened(tmp_path, SMALL) as spool:
        assert spool.state.damaged_records == 1
        assert spool.state.pending_batches == 8


def test_every_batch_lost_to_one_hole_is_counted(tmp_path):
    """A block that went blank is one place but several batches."""
    expected = fill(tmp_path, 20, None)
    path = next(tmp_path.glob("*.seg"))
    data = path.read_bytes()
    records = segments.scan(data)[0]
    hole = slice(records[3].start + 5, records[8].start + 5)
    path.write_bytes(data[: hole.start] + bytes(hole.stop - hole.start) + data[hole.stop :])

    assert contents(tmp_path) == {seq: expected[seq] for seq in expected if not 4 <= seq <= 9}
    with opened(tmp_path) as spool:
        assert spool.state.damaged_records == 6


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a spool of three segments and an acknowledgement, and what must be in it."""
    directory = tmp_path_factory.mktemp("written") / "spool"
    expected = fill(directory, 9)
    with opened(directory, SMALL) as spool:
        spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(4, 4)])])
    return directory, expected


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rotten_bytes_never_give_a_wrong_batch(written, data):
    """Bytes changed in any file raise nothing and cost no batch but those they stood in."""
    original, expected = written
    with copy_of(original) as directory:
        path = data.draw(st.sampled_from(sorted(directory.iterdir())), label="file")
        before = path.read_bytes()
        start = data.draw(st.integers(0, len(before)), label="start")
        end = data.draw(st.integers(start, min(len(before), start + 60)), label="end")
        other = data.draw(st.binary(max_size=60) | st.just(before[start:end] * 2), label="other")
        path.write_bytes(before[:start] + other + before[end:])
        touched = (
            {
                record.seq
                for record in segments.scan(before)[0]
                if record.start < max(end, start + 1) and start < record.end
            }
            if path.suffix == ".seg"
            else set()
        )

        found = contents(directory)

        assert found.items() <= expected.items()
        assert expected.keys() - touched - {4} <= found.keys()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_life_of_a_spool_loses_and_doubles_nothing(data):
    """Appends, sendings, acknowledgements and restarts in any order, against plain sets."""
    with tempfile.TemporaryDirectory() as name:
        waiting: dict[tuple[str, int], bytes] = {}
        for run in range(data.draw(st.integers(1, 3), label="restarts")):
            boot = f"{run:032x}"
            with opened(Path(name), SMALL, boot=boot) as spool:
                under_way = []
                for step in data.draw(st.lists(st.sampled_from("aaablrk"), max_size=25)):
                    taken = []
                    if step == "a":
                        seq = appended(spool, 1, boot=boot)[0]
                        waiting[boot, seq] = body_of(make_batch(boot=boot), seq)
                    elif step in "bl":
                        take = spool.backlog if step == "b" else spool.live
                        taken = take(data.draw(st.integers(1, 3_000), label="limit"))
                    elif step == "r":
                        spool.release(under_way)
                        under_way = []
                    elif under_way:
                        done = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
                        spool.acknowledge([Ack(boot=done.boot, ranges=[(done.seq, done.seq)])])
                        spool.release([done])
                        del waiting[done.key]
                    keys = [pending.key for pending in taken]
                    assert len({*keys, *(p.key for p in under_way)}) == len(keys + under_way)
                    assert {p.key: p.body for p in taken}.items() <= waiting.items()
                    under_way += taken
                    state = spool.state
                    assert state.pending_batches + state.dropped_batches == len(waiting)
        with opened(Path(name), SMALL, boot=BOOT) as spool:
            found = spool.backlog(EVERYTHING)
            assert len(found) + spool.state.dropped_batches == len(waiting)
            assert {p.key: p.body for p in found}.items() <= waiting.items()


def test_rot_while_the_agent_runs(tmp_path):
    """A batch that the disk lost after it was written is no longer waited for."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, LIVE_BATCHES + 9)
        first = min(tmp_path.glob("*.seg"))
        data = bytearray(first.read_bytes())
        data[200] ^= 1
        first.write_bytes(data)
        second = sorted(tmp_path.glob("*.seg"))[1]
        second.unlink()
        lost = segments.scan(bytes(data))[1]

        assert len(lost) == 1
        assert seqs(spool.backlog(EVERYTHING)) == [2, 3, 7, 8, 9]
        assert spool.state.damaged_records == 4
        assert spool.state.pending_batches == LIVE_BATCHES + 9 - 4


def test_what_cannot_be_read_at_all_is_put_beside(tmp_path):
    """A directory, a file of an absurd size, an older format in the place of ours: counted."""
    fill(tmp_path, 9)
    first, second, third = sorted(tmp_path.glob("*.seg"))
    first.unlink()
    first.mkdir()
    os.truncate(second, segments.MAX_FILE_BYTES + 1)
    third.write_bytes(third.read_bytes().replace(segments.MARKER, b"\x8aTS\x00"))
    (tmp_path / "acked").unlink()
    (tmp_path / "acked").mkdir()
    (tmp_path / "notes.seg").write_bytes(b"of a person")

    assert contents(tmp_path, None) == {}
    with opened(tmp_path) as spool:
        assert spool.state.damaged_records == 4
        appended(spool, 1)
        assert spool.state.failing == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000000001.seg",
        "0000000001.seg.unreadable",
        "0000000002.seg.unreadable",
        "0000000003.damaged",
        "acked",
        "acked.unreadable",
        "notes.seg",
    ]


def test_what_a_newer_program_wrote_is_left_alone(tmp_path, caplog):
    """After going back to this version its batches stay as they are, until it is put in force again."""
    expected = fill(tmp_path, 9)
    later = sorted(tmp_path.glob("*.seg"))[1]
    ours = later.read_bytes()
    theirs = ours.replace(segments.MARKER, b"\x8aTS\x02")
    later.write_bytes(theirs)
    held = {record.seq for record in segments.scan(ours)[0]}

    with opened(tmp_path, SMALL) as spool:
        assert {p.seq: p.body for p in spool.backlog(EVERYTHING)} == {
            seq: body for seq, body in expected.items() if seq not in held
        }
        appended(spool, 200)  # far more than there is room for
        assert spool.state.damaged_records == 0
    assert later.read_bytes() == theirs
    assert caplog.text.count("spool: left alone for the newer program that wrote it: ") == 1
    assert f"{later.name}: format 2, this program knows 1" in caplog.text
    with opened(tmp_path, SMALL):
        assert later.read_bytes() == theirs
    later.write_bytes(ours)  # which the newer program can read
    for path in tmp_path.glob("*.seg"):
        if path != later:
            path.unlink()
    (tmp_path / "acked").unlink()
    assert contents(tmp_path) == {seq: expected[seq] for seq in held}


def test_another_thing_in_the_place_of_the_directory_is_put_beside(tmp_path):
    """The agent begins with a spool of its own, twice if need be."""
    for number in (1, 2):
        spool_path = tmp_path / "spool"
        spool_path.write_bytes(b"what is this")
        with opened(spool_path) as spool:
            appended(spool, 1)
            assert spool.state.damaged_records == 1
            assert spool.state.failing == ""
        shutil.rmtree(spool_path)
        assert len(list(tmp_path.iterdir())) == number


def test_room_is_made_by_taking_away_what_is_damaged_first(tmp_path):
    """What was put beside for a person to look at goes before a batch that nobody has."""
    fill(tmp_path, 3)
    (tmp_path / "0000000007.damaged").write_bytes(bytes(SMALL.max_bytes))
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 1)

        assert spool.state.dropped_batches == 0
        assert not (tmp_path / "0000000007.damaged").exists()
