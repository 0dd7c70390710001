"""When a media session's packets leave: at the stream's rate, in frames, within the lease."""

import math
from collections import Counter

import pytest

from agent.probes.media_sender import NS, plan
from agent.wire import STREAMS


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("in_frames", [False, True])
def test_a_plan_keeps_the_streams_rate(name, in_frames):
    """After the ramp the mean rate is the stream's, even or in bursts."""
    stream = STREAMS[name]
    if in_frames and not stream.frames_per_second:
        return
    moments = plan(stream, seconds=60, in_frames=in_frames)
    full = [moment for moment in moments if moment >= 4 * NS]

    assert moments == sorted(moments)
    assert len(full) / 56 == pytest.approx(stream.packets_per_second, rel=0.01)
    if stream.frames_per_second:
        ramp = sum(1 for moment in moments if moment < 2 * NS)
        assert ramp / 2 == pytest.approx(stream.packets_per_second / 4, rel=0.02)


def test_frames_are_bursts():
    """Five packets back to back each 33 ms, and every two seconds a key frame of 42."""
    moments = plan(STREAMS["720p"], seconds=10, in_frames=True)
    sizes = {moment: moments.count(moment) for moment in moments if 4 * NS <= moment < 8 * NS}

    assert sorted(sizes.values())[-2:] == [42, 42]
    assert set(sorted(sizes.values())[:-2]) == {4, 5}
    assert len(sizes) == 120


def test_cameras_are_not_in_step():
    """Of sessions whose slots begin together, no two of sixty send a key frame at once."""
    together = Counter()
    for session in range(60):
        moments = plan(STREAMS["720p"], seconds=10, in_frames=True, session=session)
        sizes = Counter(moment for moment in moments if 4 * NS <= moment < 8 * NS)
        together.update(moment for moment, size in sizes.items() if size > 30)

    assert set(together.values()) == {1}
    assert len(together) == 120


@pytest.mark.parametrize("name", ["720p", "1080p"])
@pytest.mark.parametrize("seconds", [1, 2.5, 3, 5.1, 20, 60])
def test_no_plan_needs_more_than_its_lease(name, seconds):
    """The centre leases out the mean rate: a key frame more is what the ramp left out."""
    most = math.ceil(STREAMS[name].packets_per_second * seconds)
    for session in range(60):
        moments = plan(STREAMS[name], seconds=seconds, in_frames=True, session=session)
        assert len(moments) <= most
