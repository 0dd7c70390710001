"""Records survive whatever happens to their neighbours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import segments
from agent.segments import MARKER, Pending, pack, scan, unpack
from tests.agent.batches import BOOT, OLD_BOOT

bodies = st.binary(max_size=60) | st.just(MARKER) | st.just(MARKER * 3)
pendings = st.builds(
    Pending,
    boot=st.sampled_from([BOOT, OLD_BOOT]),
    seq=st.integers(1, 2**63),
    wall_ms=st.integers(-(2**40), 2**50),
    body=bodies,
    synchronised=st.booleans(),
)


def found(data: bytes) -> list[Pending]:
    """Return every batch that can be read."""
    return [unpack(data, record) for record in scan(data)[0]]


@given(st.lists(pendings, max_size=8))
def test_what_is_packed_is_found(given):
    """Whole records are all found, in their order, with nothing between them."""
    data = b"".join(map(pack, given))

    assert found(data) == given
    assert scan(data)[1] == []


@given(st.lists(pendings, min_size=1, max_size=4), st.data())
def test_a_changed_byte_costs_one_record(given, data):
    """Whichever byte rots, all records but its own are found, and nothing that was not written."""
    whole = b"".join(map(pack, given))
    at = data.draw(st.integers(0, len(whole) - 1))
    rotten = bytearray(whole)
    rotten[at] ^= data.draw(st.integers(1, 255))

    records = scan(whole)[0]
    hit = next(n for n, record in enumerate(records) if record.start <= at < record.end)

    assert found(bytes(rotten)) == given[:hit] + given[hit + 1 :]
    assert scan(bytes(rotten))[1] == [(records[hit].start, records[hit].end)]


@given(st.lists(pendings, max_size=4), st.binary(min_size=1, max_size=80), st.data())
def test_rubbish_costs_nothing(given, rubbish, data):
    """Bytes of anyone's between two records, or a piece of a record, hide none of them."""
    packed = [pack(pending) for pending in given]
    place = data.draw(st.integers(0, len(packed)))
    rubbish = data.draw(st.sampled_from([rubbish, MARKER, *(record[:-1] for record in packed)]))

    assert found(b"".join([*packed[:place], rubbish, *packed[place:]])) == given


@given(st.lists(pendings, max_size=3), pendings)
def test_a_torn_record_is_none(given, last):
    """A record cut at any byte is not found, the ones before it are."""
    before = b"".join(map(pack, given))
    record = pack(last)

    for length in range(len(record)):
        assert found(before + record[:length]) == given


def test_a_boot_is_32_hex_digits():
    """Another text would not come back as it went in."""
    with pytest.raises(ValueError) as caught:
        pack(Pending("no boot", 1, 0, b"{}", synchronised=True))

    assert str(caught.value).startswith("non-hexadecimal number found")


def test_what_could_not_be_mended_is_left_as_it_is(tmp_path):
    """Where the disk takes nothing, whole records are read and the damage stays in its place."""
    path = tmp_path / "0000000001.seg"
    good = Pending(BOOT, 2, 0, b"{}", synchronised=True)
    path.write_bytes(b"rubbish" + pack(good))
    path.with_suffix(".damaged").mkdir()  # so that nothing can be put there, even by root

    loaded = segments.mend(path)

    assert [unpack(loaded.data, record) for record in loaded.records] == [good]
    assert loaded.damaged == 0
    assert path.read_bytes() == b"rubbish" + pack(good)
