"""The rehearsal's course: stages, what ends it, and what each site gets as a verdict."""

from itertools import pairwise

import pytest

from agent.wire import Failure
from collector.bridge.rehearsal import Place, Rehearsal, judged, most_sites, planned
from collector.bridge.slots import Slots
from collector.inventory.model import Series
from tests.collector.a_province import NOON, a_sample
from tests.collector.bridge.tables import SECRET, TARGET, a_load, with_sites

SHARES = [0.1, 0.25, 0.5, 1.0]
GOOD = {
    "media_loss_ratio.forward": 0.0,
    "media_loss_ratio.backward": 0.001,
    "media_loss_ratio.roundtrip": 0.001,
    "media_rtt_seconds.p50": 0.02,
    "media_rtt_seconds.p95": 0.03,
    "media_jitter_seconds.forward": 0.002,
    "media_jitter_seconds.backward": 0.004,
    "media_pdv_seconds.forward.p50": 0.001,
    "media_pdv_seconds.forward.p99": 0.01,
    "media_pdv_seconds.backward.p99": 0.02,
    "media_mos.g711_plc.g107_echo_free": 4.4,
    "media_socket_drops.agent": 0,
    "media_socket_drops.reflector": 0,
}
HERE = Place("04792", "Tân Hòa")
LOSSY = {**GOOD, "media_loss_ratio.backward": 0.02}


def a_media_sample(slot: str = "", agent: str = "00000", failure=None, error="", **values):
    """Return what a media run says."""
    return a_sample(
        Series(agent, "video", TARGET, ""),
        failure,
        error=error,
        detail="nothing came back" if failure else "",
        facts={"slot": slot},
        values={**GOOD, **values} if not failure else {},
    )


class Stand:
    """A rehearsal with a table of slots and sites that answer as a test says."""

    def __init__(self, sites: int = 20, *, mbit_s: float = 100.0, stream: str = "720p"):
        self.inventory = with_sites(
            sites, {"video": (a_load(stream), 3600.0)}, mbit_s=mbit_s, contract=1000.0
        )
        self.now = NOON
        self.table = Slots(self.inventory, NOON - 100.0, secret=SECRET)
        self.table.held = True
        runs = {
            Place(series.agent, series.agent): series for series in self.table.in_order("video")
        }
        self.rehearsal = Rehearsal(
            runs, a_load(stream), self.inventory.trunks["bridge"], SHARES, NOON
        )
        self.allowed = True

    def begin(self):
        """Go on until a stage begins or it is over; return its slots."""
        for _ in range(1000):
            self.table.tick(self.now, set())
            free = not self.table.given
            start = self.rehearsal.step(self.now, free=free, allowed=self.allowed)
            if start is not None:
                given = [self.table.give(series, self.now + 4.0) for series in start.runs]
                for one in given:
                    one.told = True
                self.rehearsal.started(given)
                return given
            if self.rehearsal.is_over():
                return []
            self.now += 0.5
        raise AssertionError("nothing happens")

    def answer(self, given, **by_agent):
        """Give each site's sample at the end of its run; None: it never comes."""
        self.now = given[0].ends
        for one in given:
            said = by_agent.get(f"a{one.series.agent}", {})
            if said is not None:
                sample = a_media_sample(one.id, one.series.agent, **said)
                self.rehearsal.take(one.series.agent, sample)

    @property
    def report(self):
        """The rehearsal's report."""
        return self.rehearsal.report


def test_every_stage_is_good():
    """Shares of the sites at one instant, canaries in each; the last stage is the capacity."""
    here = Stand(20)
    stages = []
    while given := here.begin():
        stages.append(given)
        here.answer(given)

    assert [2, 5, 10, 20] == [len(given) for given in stages]
    for given in stages:
        assert 1 == len({one.begins for one in given})
        assert len(given) == len({one.site for one in given})
    canaries = {one.site for one in stages[0]}
    assert all(canaries <= {one.site for one in given} for given in stages)
    assert all(later[0].begins >= earlier[0].ends for earlier, later in pairwise(stages))
    report = here.report
    assert ("over", "done", 20, pytest.approx(31.45)) == (
        report.state,
        report.end,
        report.capacity_sites,
        report.capacity_mbit_s,
    )
    assert {"good"} == {result.verdict for stage in report.stages for result in stage.results}
    assert [True] * 4 == [stage.good for stage in report.stages]


def test_a_stage_the_trunk_cannot_bear_is_the_finding():
    """148 sites of 720p on 100 Mbit/s: 15 and 37 at once are run, 74 is not."""
    here = Stand(148)
    sizes = []
    while given := here.begin():
        sizes.append(len(given))
        here.answer(given)

    report = here.report
    assert [15, 37] == sizes
    assert "trunk" == report.end
    assert (37, 58.183) == (report.capacity_sites, pytest.approx(report.capacity_mbit_s, abs=0.01))
    assert 50 == report.most_sites
    assert [None, None] == [stage.begins for stage in report.stages[2:]]
    assert 232.73 == pytest.approx(report.stages[3].mbit_s, abs=0.01)


@pytest.mark.parametrize(("mbit_s", "sites"), [(100.0, 50), (1000.0, 508)])
def test_the_most_an_trunk_may_be_loaded(mbit_s, sites):
    """80 % of it, as computed in probes.md 7."""
    trunk = with_sites(1, {}, mbit_s=mbit_s).trunks["bridge"]

    assert sites == most_sites(trunk, a_load("720p"))


def test_stages_are_shares_rounded_up():
    """A tenth of 148 is 15; shares are taken in order, each once."""
    assert [(0.1, 15), (0.5, 74), (1.0, 148)] == [
        (stage.share, stage.sites) for stage in planned(148, a_load(), [1.0, 0.1, 0.5, 0.1])
    ]


def test_too_many_failed_sites_end_it():
    """More than a tenth of a stage's sites: that stage is not good, the one before is the capacity."""
    here = Stand(20)
    here.answer(here.begin())
    here.answer(here.begin())
    third = here.begin()
    bad = [one.series.agent for one in third][-2:]
    here.answer(third, **{f"a{agent}": LOSSY for agent in bad})

    assert [] == here.begin()
    assert ("sites", 5) == (here.report.end, here.report.capacity_sites)
    assert [True, True, False, None] == [stage.good for stage in here.report.stages]


def test_one_in_ten_may_fail():
    """Exactly a tenth is borne."""
    here = Stand(20)
    here.answer(here.begin())
    here.answer(here.begin())
    third = here.begin()
    here.answer(third, **{f"a{third[-1].series.agent}": LOSSY})

    assert 20 == len(here.begin())


def test_who_does_not_answer_counts_as_failed_and_is_named():
    """A stage is judged at the latest some seconds after its end, without those who are silent."""
    here = Stand(20)
    first = here.begin()
    here.answer(first, **{f"a{one.series.agent}": None for one in first})
    ended = here.now

    assert [] == here.begin()
    assert 20.0 <= here.now - ended <= 21.0
    assert "sites" == here.report.end
    assert ["silent", "silent"] == [result.verdict for result in here.report.stages[0].results]
    assert (0, 0.0) == (here.report.capacity_sites, here.report.capacity_mbit_s)


def test_a_busy_pc_is_no_fault_of_the_network():
    """An agent that could not measure is invalid: neither good nor failed."""
    here = Stand(20)
    here.answer(here.begin())
    here.answer(here.begin())
    third = here.begin()
    busy = {
        f"a{one.series.agent}": {"error": "this PC is too busy: packets left 72 ms late"}
        for one in third[-3:]
    }
    here.answer(third, **busy)

    assert 20 == len(here.begin())
    result = here.report.stages[2].results[-1]
    assert ("invalid", ["this PC is too busy: packets left 72 ms late"]) == (
        result.verdict,
        result.why,
    )


def test_a_stage_that_nobody_could_measure_proves_nothing():
    """All invalid: the rehearsal ends."""
    here = Stand(20)
    first = here.begin()
    here.answer(first, **{f"a{one.series.agent}": {"error": "busy"} for one in first})

    assert [] == here.begin()
    assert ("unmeasured", False) == (here.report.end, here.report.stages[0].good)


def test_canaries_end_it():
    """The first stage's sites lose more than 0.5 % in the median: the load hurts others."""
    here = Stand(40)
    here.answer(here.begin())
    second = here.begin()
    canaries = [one.series.agent for one in second][:4]
    thin = {"media_loss_ratio.forward": 0.0051}
    here.answer(second, **{f"a{agent}": thin for agent in canaries})

    assert [] == here.begin()
    assert ("canary", 4) == (here.report.end, here.report.capacity_sites)
    assert 0.0051 == here.report.stages[1].canary_loss


def test_drops_of_the_reflector_make_it_void():
    """What the reflector's machine lost says nothing of any line: no capacity is found."""
    here = Stand(20)
    here.answer(here.begin())
    second = here.begin()
    here.answer(second, **{f"a{second[0].series.agent}": {"media_socket_drops.reflector": 3}})

    assert [] == here.begin()
    assert ("void", 0) == (here.report.end, here.report.capacity_sites)


def test_drops_of_one_pc_do_not():
    """They are that PC's trouble."""
    here = Stand(20)
    first = here.begin()
    here.answer(first, **{f"a{first[0].series.agent}": {"media_socket_drops.agent": 3}})

    assert 5 == len(here.begin())


def test_a_phase_that_forbids_load_ends_it():
    """When a ceremony comes near no further stage begins."""
    here = Stand(20)
    here.answer(here.begin())
    here.allowed = False

    assert [] == here.begin()
    assert ("phase", 2) == (here.report.end, here.report.capacity_sites)


def test_aborting_keeps_what_was_found():
    """By a person's word, in the middle of a stage: what came until then is in the report."""
    here = Stand(20)
    here.answer(here.begin())
    second = here.begin()
    agent = second[0].series.agent
    here.rehearsal.take(agent, a_media_sample(second[0].id, agent))
    here.rehearsal.abort(here.now)
    here.rehearsal.abort(here.now + 5.0)

    assert here.rehearsal.step(here.now, free=True, allowed=True) is None
    report = here.report
    assert ("over", "aborted", 2, here.now) == (
        report.state,
        report.end,
        report.capacity_sites,
        report.ended_at,
    )
    assert ["good", "silent", "silent", "silent", "silent"] == [
        result.verdict for result in report.stages[1].results
    ]


def test_samples_of_other_slots_are_not_ours():
    """Another slot, another agent with that id, another check: none changes anything."""
    here = Stand(20)
    first = here.begin()
    agent = first[0].series.agent
    here.rehearsal.take(agent, a_media_sample("elsewhere"))
    here.rehearsal.take("00019", a_media_sample(first[0].id))
    web = a_sample(Series(agent, "web", "x", ""), facts={"slot": first[0].id})
    here.rehearsal.take(agent, web)
    here.answer(first, **{f"a{one.series.agent}": None for one in first})
    here.begin()

    assert ["silent", "silent"] == [result.verdict for result in here.report.stages[0].results]


@pytest.mark.parametrize(
    ("stream", "values", "verdict", "why"),
    [
        ("720p", {}, "good", []),
        ("720p", {"media_loss_ratio.forward": 0.003}, "good", []),
        ("720p", {"media_loss_ratio.forward": 0.0031}, "limited", ["loss_ratio"]),
        ("720p", {"media_loss_ratio.forward": 0.0101}, "failed", ["loss_ratio"]),
        ("1080p", {"media_loss_ratio.backward": 0.002}, "limited", ["loss_ratio"]),
        ("1080p", {"media_loss_ratio.backward": 0.006}, "failed", ["loss_ratio"]),
        ("g711", {"media_loss_ratio.backward": 0.005}, "good", []),
        ("g711", {"media_loss_ratio.backward": 0.0099}, "limited", ["loss_ratio"]),
        ("720p", {"media_jitter_seconds.forward": 0.025}, "limited", ["jitter_seconds"]),
        ("720p", {"media_jitter_seconds.forward": 0.031}, "failed", ["jitter_seconds"]),
        ("720p", {"media_rtt_seconds.p95": 0.31}, "limited", ["rtt_seconds"]),
        ("720p", {"media_rtt_seconds.p95": 0.51}, "failed", ["rtt_seconds"]),
        ("720p", {"media_pdv_seconds.backward.p99": 0.06}, "limited", ["pdv_seconds"]),
        ("g711", {"media_mos.g711_plc.g107_echo_free": 3.8}, "limited", ["mos"]),
        ("g711", {"media_mos.g711_plc.g107_echo_free": 3.5}, "failed", ["mos"]),
        ("720p", {"media_mos.g711_plc.g107_echo_free": 3.5}, "good", []),
        (
            "720p",
            {"media_rtt_seconds.p95": 0.51, "media_jitter_seconds.forward": 0.025},
            "failed",
            ["rtt_seconds", "jitter_seconds"],
        ),
    ],
)
def test_a_site_is_judged_by_the_worse_direction(stream, values, verdict, why):
    """Each figure against its bounds; the worst of them is the site's verdict."""
    result = judged(HERE, "04792", stream, a_media_sample(**values))

    assert (verdict, why) == (result.verdict, result.why)


def test_a_failed_run_is_failed_with_its_reason():
    """The closed list's word and the detail; nothing is made up for what was not measured."""
    result = judged(HERE, "04792", "720p", a_media_sample(failure=Failure.TIMEOUT))

    assert ("failed", {}, ["timeout: nothing came back"]) == (
        result.verdict,
        result.figures,
        result.why,
    )


def test_loss_of_the_round_trip_counts_where_directions_are_not_known():
    """Without the reflector's count only the sum is known."""
    sample = a_media_sample()
    for way in ("forward", "backward"):
        del sample.values[f"media_loss_ratio.{way}"]
    sample.values["media_loss_ratio.roundtrip"] = 0.02

    assert 0.02 == judged(HERE, "x", "720p", sample).figures["loss_ratio"]
