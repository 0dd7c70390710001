"""R and MOS are those of G.107, and none of the mistakes seen in public code is made here."""

import json
import math
from dataclasses import MISSING
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.emodel import (
    BASE_R,
    CODECS,
    Codec,
    Connection,
    delay_impairment,
    is_extrapolated,
    loss_impairment,
    mos,
    r_factor,
    rate,
    rate_echo_free,
)

VECTORS = json.loads((Path(__file__).parent / "media_vectors.json").read_text("utf-8"))
R = VECTORS["tolerances"]["R"]
MOS = VECTORS["tolerances"]["MOS"]
MODEL = VECTORS["emodel"]
TERMS = {
    "No": "no",
    "Ro": "ro",
    "Iolr": "iolr",
    "Ist": "ist",
    "Iq": "iq",
    "Is": "is_",
    "Idte": "idte",
    "Idle": "idle",
    "Idd": "idd",
    "IeEff": "ie_eff",
    "R": "r",
}
G711 = CODECS["g711"]
PLC = CODECS["g711_plc"]


def connection(codec: Codec, delay_ms: float, loss_percent: float, **more: float) -> Connection:
    """Return a connection whose talker hears an echo after twice its delay."""
    return Connection(
        ie=codec.ie,
        bpl=codec.bpl,
        ppl_percent=loss_percent,
        t_ms=delay_ms,
        ta_ms=delay_ms,
        tr_ms=2 * delay_ms,
        **more,
    )


def test_every_term_of_the_default_connection_is_the_published_one():
    """With all defaults R is 93.2 and MOS 4.41, and each term on the way is right by itself."""
    rating = rate(connection(G711, 0, 0))

    found = {name: getattr(rating, ours) for name, ours in TERMS.items()}
    expected = dict(MODEL["default_terms"])
    assert expected.pop("MOS") == pytest.approx(mos(rating.r), abs=1e-6)
    assert expected == pytest.approx(found, abs=1e-6)
    assert pytest.approx(rating.r, abs=1e-6) == BASE_R


def test_defaults_are_those_of_the_recommendation():
    """Each parameter without a say has the Recommendation's default; Ie and Bpl must be said."""
    found = {
        name.split("_")[0]: field.default for name, field in Connection.__dataclass_fields__.items()
    }
    expected = {name.lower(): value for name, value in MODEL["defaults"].items()}
    del expected["dr"]  # in the Recommendation's table, in none of its formulas
    expected["burst"] = expected.pop("burstr")
    assert expected | {"ie": MISSING, "bpl": MISSING} == found


@pytest.mark.parametrize("name", CODECS)
def test_codecs_are_those_of_g113(name):
    """Ie and Bpl are those of G.113 appendix I."""
    expected = MODEL["codec_ie_bpl_G113_appendix_I"][name]

    assert (expected["Ie"], expected["Bpl"]) == CODECS[name]


@pytest.mark.parametrize("point", MODEL["points"], ids=lambda point: json.dumps(point)[:90])
def test_both_models_rate_as_the_vectors(point):
    """The echo-free and the full model agree with the vectors within their tolerances."""
    codec = CODECS[point["codec"]]
    delay, loss, bursts = point["one_way_mouth_to_ear_ms"], point["loss_pct"], point["BurstR"]
    reduced, full = point["reduced_echo_free"], point["full_T_eq_Ta_TELR65"]

    r = rate_echo_free(codec, one_way_ms=delay, loss_percent=loss, burst_ratio=bursts)
    assert (reduced["R"], reduced["MOS"]) == (
        pytest.approx(r, abs=R),
        pytest.approx(mos(r), abs=MOS),
    )
    rating = rate(connection(codec, delay, loss, burst_ratio=bursts))
    assert (full["R"], full["MOS"]) == (
        pytest.approx(rating.r, abs=R),
        pytest.approx(mos(rating.r), abs=MOS),
    )
    assert (full["Idte"], full["Idle"]) == pytest.approx((rating.idte, rating.idle), abs=1e-6)


def test_the_full_model_agrees_with_the_itu_calculator():
    """36 points of a public tool that was verified against the ITU's calculator (Bpl 1)."""
    published = MODEL["published_crosscheck"][-1]

    for point in published["points_Bpl_1"]:
        r = r_factor(connection(Codec(0, 1), point["T_ms"], point["loss_pct"]))
        assert point["R"] == pytest.approx(r, abs=1e-5)
        assert point["MOS"] == pytest.approx(mos(r), abs=1e-5)
    rating = rate(connection(G711, 0, 0))
    assert published["published"]["No"] == pytest.approx(rating.no)
    assert published["published"]["Is"] == pytest.approx(rating.is_, abs=1e-6)


def test_scores_are_those_of_annex_b():
    """The printed table of R and MOS, which rounds up at 80, is met within 0.01."""
    for r, score in MODEL["published_crosscheck"][1]["published"].items():
        assert score == pytest.approx(mos(float(r)), abs=0.01)


@pytest.mark.parametrize("point", MODEL["mos_from_R"], ids=lambda point: str(point["R"]))
def test_a_rating_becomes_a_score(point):
    """MOS follows annex B, held to 1 and 4.5 at both ends."""
    assert point["MOS"] == pytest.approx(mos(point["R"]), abs=1e-6)


@pytest.mark.parametrize("point", MODEL["idd"], ids=lambda point: str(point["Ta_ms"]))
def test_delay_takes_its_part(point):
    """Idd is 0 up to 100 ms and the vectors' beyond."""
    assert point["Idd"] == pytest.approx(delay_impairment(point["Ta_ms"]), abs=1e-6)


@pytest.mark.parametrize("point", MODEL["ie_eff"], ids=json.dumps)
def test_loss_takes_its_part(point):
    """Ie,eff of each codec is the vectors'."""
    found = loss_impairment(CODECS[point["codec"]], point["Ppl"], point["BurstR"])

    assert point["IeEff"] == pytest.approx(found, abs=1e-6)


def test_the_delay_exponent_is_a_product():
    """Public code reads 6sT as 6-sT: exponent 5 at sT 1, 16.6 instead of 14.8 at 300 ms."""
    assert pytest.approx(14.760695, abs=1e-6) == delay_impairment(300)
    x = math.log2(4)
    assert pytest.approx(
        25 * ((1 + x**3) ** (1 / 3) - 3 * (1 + (x / 3) ** 3) ** (1 / 3) + 2)
    ) == delay_impairment(400, st=0.5)


def test_the_base_is_not_that_of_cole_and_rosenbluth():
    """Their 94.2 and their delay term belong together, and neither is here."""
    for point in MODEL["cole_rosenbluth_variant_do_not_mix"]:
        r = rate_echo_free(G711, one_way_ms=point["Ta_ms"], loss_percent=0)
        assert abs(point["R_base_94.2"] - r) > 0.9


def test_loss_is_in_percent():
    """One percent takes 3.64 from G.711 with concealment; as a fraction it would take 0.04."""
    assert pytest.approx(3.639847, abs=1e-6) == loss_impairment(PLC, 1)
    assert pytest.approx(0.037834, abs=1e-6) == loss_impairment(PLC, 0.01)


def test_no_score_is_below_one():
    """The cubic dips under 1 where 0 < R < 6.5; a score does not."""
    assert {1.0} == {mos(tenth / 10) for tenth in range(66)}
    assert mos(7) > 1


def test_loss_more_regular_than_chance_is_no_bonus():
    """A burst ratio below 1 counts as 1."""
    assert loss_impairment(PLC, 5, 1) == loss_impairment(PLC, 5, 0.4)


@pytest.mark.parametrize(
    ("loss", "bursts", "expected"),
    [(20, 2, False), (20.1, 1, True), (0.1, 2.01, True), (0, 1, False)],
)
def test_what_lies_beyond_the_model_says_so(loss, bursts, expected):
    """More than 20 % loss or a burst ratio above 2 is an extrapolation."""
    assert is_extrapolated(loss, bursts) is expected


def test_sidetones_outside_the_usual_have_their_own_echo_terms():
    """STMR under 9 adds half of Ist to the echo's loss; over 20 Ist joins the echo."""
    usual, quiet, loud = (rate(connection(G711, 50, 0, stmr_db=stmr)) for stmr in (15, 21, 8))

    assert pytest.approx(math.hypot(usual.idte, quiet.ist)) == quiet.idte
    same = rate(connection(G711, 50, 0, telr_db=65 + loud.ist / 2))
    assert pytest.approx(same.idte) == loud.idte != usual.idte


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: delay_impairment(-1.0), "one-way delay -1.0 ms, expected 0 or more"),
        (lambda: delay_impairment(math.nan), "one-way delay nan ms, expected 0 or more"),
        (lambda: loss_impairment(PLC, 101.0), "loss 101.0 %, expected 0 to 100"),
        (lambda: loss_impairment(PLC, math.nan), "loss nan %, expected 0 to 100"),
        (lambda: loss_impairment(Codec(0, 0.0), 1.0), "Bpl 0.0, expected more than 0"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    """No rating is made of figures that cannot be."""
    with pytest.raises(ValueError) as refused:
        call()

    assert message == str(refused.value)


DELAYS = st.floats(0, 5000)
LOSSES = st.floats(0, 100)


@given(st.sampled_from(list(CODECS.values())), DELAYS, DELAYS, LOSSES, LOSSES)
def test_worse_figures_never_rate_better(codec, delay, other_delay, loss, other_loss):
    """R falls with delay and with loss, MOS falls with R, and both keep to their scale."""
    good = rate_echo_free(codec, one_way_ms=delay, loss_percent=loss, burst_ratio=1.5)
    bad = rate_echo_free(
        codec,
        one_way_ms=max(delay, other_delay),
        loss_percent=max(loss, other_loss),
        burst_ratio=1.5,
    )

    assert bad <= good + 1e-9
    assert good <= BASE_R + 1e-9
    assert 1 <= mos(bad) <= mos(good) + 1e-9 <= 4.5 + 1e-9
