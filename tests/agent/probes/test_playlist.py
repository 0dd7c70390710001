"""Playlists are read as RFC 8216 has them, and what is none is told from one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import TargetError
from agent.probes.playlist import Master, Media, Segment, read_playlist, starts_with_bom
from agent.probes.progress import Look, Progress
from agent.wire import Failure

VECTORS = json.loads(Path(__file__).with_name("hls_vectors.json").read_text("utf-8"))
BASE = "https://live.example.test/a/live.m3u8"
HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n"
AT_100 = "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:40"


def media(text: str) -> Media:
    """Read a playlist of segments that follows the usual head."""
    playlist = read_playlist((HEAD + text).encode(), BASE)
    assert isinstance(playlist, Media)
    return playlist


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_progress_of_the_vectors(case):
    """Streams that go on, stand still or begin anew are told apart, look by look."""
    progress = Progress()
    for poll in case["polls"]:
        look = progress.look(read_playlist(poll["body"].encode(), BASE), 1000.0 + poll["t_s"])

    found = "reset" if look.reset_from is not None else "stalled" if look.stalled else "advancing"
    assert found == case["expected"]


def test_master_of_the_vectors():
    """Variants have their bandwidth, size and absolute address, commas in quotes or not."""
    master = read_playlist(VECTORS["master"]["body"].encode(), VECTORS["master"]["base"])

    assert isinstance(master, Master)
    assert [
        {"bandwidth": one.bandwidth, "resolution": one.resolution, "uri": one.uri}
        for one in master.variants
    ] == VECTORS["master"]["expected_variants"]


@pytest.mark.parametrize("case", VECTORS["invalid"].values(), ids=VECTORS["invalid"])
def test_invalid_of_the_vectors(case):
    """A page for people, nothing, and a playlist without its target duration are none."""
    with pytest.raises(TargetError) as caught:
        read_playlist(case["body"].encode(), BASE)

    assert caught.value.failure is Failure.MALFORMED


def test_all_that_is_known_of_segments():
    """Sequence, durations, addresses and the end come as written; unknown tags are passed over."""
    playlist = media(
        "#EXT-X-VERSION:7\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXT-X-FUTURE:x\r\n# a comment\r\n\r\n"
        "#EXTINF:5.5,a title, with a comma\r\n../b/s7.ts?t=1\r\n"
        "#EXTINF:6\r\nhttp://cdn.example.test/s8.ts\r\n#EXT-X-ENDLIST\r\n"
    )

    assert playlist.segments == (
        Segment("https://live.example.test/b/s7.ts?t=1", 5.5),
        Segment("http://cdn.example.test/s8.ts", 6.0),
    )
    assert (playlist.first, playlist.last, playlist.ended) == (7, 8, True)
    assert playlist.target_seconds == 6.0


def test_no_segments_yet():
    """A channel that has not begun has no segment; its last one is the one before its first."""
    playlist = media("#EXT-X-MEDIA-SEQUENCE:5\n")

    assert (playlist.segments, playlist.last, playlist.ended) == ((), 4, False)


def test_parts_of_one_file():
    """A byte range begins where it says, or where the one before has ended."""
    playlist = media(
        "#EXTINF:6,\n#EXT-X-BYTERANGE:100@50\nall.ts\n#EXT-X-BYTERANGE:70\n#EXTINF:6,\nall.ts\n"
        "#EXTINF:6,\nwhole.ts\n"
    )

    assert [(one.first_byte, one.size) for one in playlist.segments] == [
        (50, 100),
        (150, 70),
        (0, 0),
    ]


@pytest.mark.parametrize(
    ("text", "edge"),
    [
        (
            f"{AT_100}.500Z\n#EXTINF:6,\na\n#EXTINF:4,\nb\n",
            110.5,
        ),
        ("#EXTINF:6,\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T07:01:40+07:00\na\n", 106.0),
        (
            f"#EXTINF:6,\na\n{AT_100}+0000\n#EXTINF:6,\nb\n",
            106.0,
        ),
        ("#EXTINF:6,\na\n", None),
        (f"{AT_100}\n#EXTINF:6,\na\n", None),
        ("#EXT-X-PROGRAM-DATE-TIME:yesterday\n#EXTINF:6,\na\n", None),
        (
            f"{AT_100}Z\n#EXTINF:6,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:6,\nb\n",
            None,
        ),
        (
            f"#EXT-X-DISCONTINUITY\n{AT_100}Z\n#EXTINF:6,\na\n#EXTINF:6,\nb\n",
            112.0,
        ),
    ],
)
def test_live_edge(text, edge):
    """The end of the last segment follows from the last date, unless a gap lies between."""
    assert media(text).edge == edge


def test_bom_is_borne():
    """A byte order mark is forbidden, seen and passed over."""
    body = b"\xef\xbb\xbf" + HEAD.encode()

    assert starts_with_bom(body)
    assert not starts_with_bom(HEAD.encode())
    assert isinstance(read_playlist(body, BASE), Media)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "found nothing, expected #EXTM3U"),
        ("#EXTM3U8\n", "found '#EXTM3U8', expected #EXTM3U"),
        ("#EXTM3U\n", "found nothing, expected seconds as #EXT-X-TARGETDURATION"),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:0\n",
            "found 0, expected more seconds as #EXT-X-TARGETDURATION",
        ),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:nan\n",
            "found 'nan', expected seconds as #EXT-X-TARGETDURATION",
        ),
        (
            HEAD + "#EXT-X-MEDIA-SEQUENCE:-1\n",
            "found '-1', expected a number as #EXT-X-MEDIA-SEQUENCE",
        ),
        (HEAD + "#EXTINF:inf,\na.ts\n", "found 'inf', expected seconds as #EXTINF"),
        (HEAD + "a.ts\n", "found 'a.ts' without #EXTINF"),
        (HEAD + "#EXTINF:6,\n", "the playlist ends where the URI of a segment was expected"),
        (HEAD + "#EXTINF:6,\nhttp://[x\n", "found 'http://[x', expected a URI: Invalid IPv6 URL"),
        (
            HEAD + "#EXTINF:6,\n#EXT-X-BYTERANGE:0@1\na\n",
            "found '0@1', expected length@start as #EXT-X-BYTERANGE",
        ),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
            "the playlist ends where the URI of a variant was expected",
        ),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:RESOLUTION=1x1\na.m3u8\n",
            "found nothing, expected a BANDWIDTH of each variant",
        ),
        (
            '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a\na.m3u8\n',
            "found 'CODECS=\"a', expected NAME=value",
        ),
    ],
)
def test_malformed(text, detail):
    """What was found and what was expected is said for each way to be wrong."""
    with pytest.raises(TargetError) as caught:
        read_playlist(text.encode(), BASE)

    assert (caught.value.failure, str(caught.value)) == (Failure.MALFORMED, detail)


def test_other_bytes():
    """What is not UTF-8 is no playlist."""
    with pytest.raises(TargetError) as caught:
        read_playlist(b"#EXTM3U\n\xff", BASE)

    assert str(caught.value) == "found no UTF-8 at byte 8, expected a playlist"


TAGS = st.sampled_from(
    [
        "#EXTINF:6,",
        "#EXTINF:",
        "#EXT-X-TARGETDURATION:6",
        "#EXT-X-MEDIA-SEQUENCE:999999999999999999",
        "#EXT-X-STREAM-INF:BANDWIDTH=9",
        "#EXT-X-BYTERANGE:5",
        "#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59-23:59",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-ENDLIST",
        "a.ts",
        "",
    ]
)


@given(st.lists(st.one_of(TAGS, st.text(max_size=20)), max_size=20))
def test_whatever_comes(lines):
    """Any text is a playlist or malformed; nothing else is raised, numbers fit the wire's."""
    try:
        playlist = read_playlist("\n".join(["#EXTM3U", *lines]).encode("utf-8", "replace"), BASE)
    except TargetError:
        return
    if isinstance(playlist, Media):
        assert playlist.last < 1 << 63


def numbered(first: int, count: int = 3) -> Media:
    """Return a playlist by its numbers, of target duration 6 s."""
    return media(f"#EXT-X-MEDIA-SEQUENCE:{first}\n" + "#EXTINF:6,\ns.ts\n" * count)


def test_a_first_look_judges_nothing():
    """With nothing to compare there is no age and no verdict."""
    assert Progress().look(numbered(100), 50.0) == Look(None, stalled=False)


def test_standing_still():
    """The age counts from the look that first saw the newest segment; 3 target durations stall."""
    progress = Progress()
    progress.look(numbered(99), 0.0)
    assert progress.look(numbered(100), 10.0) == Look(0.0, stalled=False)
    assert progress.look(numbered(100), 27.9) == Look(pytest.approx(17.9), stalled=False)
    assert progress.look(numbered(100), 28.0) == Look(18.0, stalled=True)
    assert progress.look(numbered(101), 29.0) == Look(0.0, stalled=False)


def test_window_that_slides_without_a_new_segment():
    """Old segments that go are no progress: the last one counts."""
    progress = Progress()
    progress.look(numbered(100, 5), 0.0)

    assert progress.look(numbered(102, 3), 18.0) == Look(18.0, stalled=True)


def test_two_edges_of_one_cdn():
    """One segment back is the other edge's copy: no reset, and no progress either."""
    progress = Progress()
    progress.look(numbered(100), 0.0)
    for at in (6.0, 12.0):
        assert progress.look(numbered(99), at) == Look(at, stalled=False)
        assert progress.look(numbered(100), at) == Look(at, stalled=False)
    assert progress.look(numbered(99), 18.0) == Look(18.0, stalled=True)


def test_numbering_that_begins_anew():
    """Further back is a reset, said once; the stream goes on from there."""
    progress = Progress()
    progress.look(numbered(100), 0.0)

    assert progress.look(numbered(20), 30.0) == Look(0.0, stalled=False, reset_from=102)
    assert progress.look(numbered(21), 36.0) == Look(0.0, stalled=False)
    assert progress.look(numbered(19), 42.0) == Look(0.0, stalled=False, reset_from=23)
