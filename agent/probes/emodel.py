"""The E-model of ITU-T G.107: transmission figures in, a rating R and a mean opinion score out.

Units are the Recommendation's own, said in each name: milliseconds, percent, decibels. Narrowband
only: Opus and wideband codecs are rated on other scales (G.107.1, G.107.2); their Ie and Bpl mean
nothing here.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

ECHO_FREE = "g107-echo-free"
"""Name of the reduced model, which `rate_echo_free` computes."""
BASE_R = 93.206208
"""R of the full model with every parameter at its default: what delay and loss take from."""
LIMIT_LOSS_PERCENT = 20.0
LIMIT_BURST_RATIO = 2.0
"""The packet-loss term was fitted to loss and bursts up to these."""


class Codec(NamedTuple):
    """How a codec bears loss: ITU-T G.113 appendix I."""

    ie: float
    """Equipment impairment without loss."""
    bpl: float
    """Packet-loss robustness."""


CODECS = {
    "g711": Codec(0.0, 4.3),
    "g711_plc": Codec(0.0, 25.1),
    "g729a_vad": Codec(11.0, 19.0),
    "g7231_63_vad": Codec(15.0, 16.1),
    "gsm_efr": Codec(5.0, 10.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Parameters of the full model under the Recommendation's symbols, in lower case.

    Ie and Bpl have no default: that of Bpl is not the same in every edition.
    """

    ie: float
    """Equipment impairment factor."""
    bpl: float
    """Packet-loss robustness factor, above 0."""
    ppl_percent: float = 0.0
    """Packet loss, 0 to 100."""
    burst_ratio: float = 1.0
    """Mean loss run against that of random loss; below 1 counts as 1."""
    t_ms: float = 0.0
    """Mean one-way delay of the echo path."""
    tr_ms: float = 0.0
    """Round trip of the 4-wire loop."""
    ta_ms: float = 0.0
    """Mouth to ear, without echo."""
    slr_db: float = 8.0
    """Send loudness rating."""
    rlr_db: float = 2.0
    """Receive loudness rating."""
    stmr_db: float = 15.0
    """Sidetone masking rating."""
    lstr_db: float = 18.0
    """Listener sidetone rating."""
    ds: float = 3.0
    """D-value of the telephone, send side."""
    telr_db: float = 65.0
    """Talker echo loudness rating."""
    wepl_db: float = 110.0
    """Weighted echo path loss."""
    qdu: float = 1.0
    """Quantizing distortion units."""
    nc_dbm: float = -70.0
    """Circuit noise, referred to the 0 dBr point."""
    nfor_dbm: float = -64.0
    """Noise floor at the receive side."""
    ps_db: float = 35.0
    """Room noise at the send side, dB(A)."""
    pr_db: float = 35.0
    """Room noise at the receive side, dB(A)."""
    a: float = 0.0
    """Advantage factor."""
    st: float = 1.0
    """Delay sensitivity."""
    mt_ms: float = 100.0
    """Least delay that is noticed."""


class Rating(NamedTuple):
    """What the full model finds, term by term: `r` = ro - is_ - id_ - ie_eff + A."""

    no: float
    ro: float
    iolr: float
    ist: float
    iq: float
    idte: float
    idle: float
    idd: float
    ie_eff: float
    r: float

    @property
    def is_(self) -> float:
        """Impairments that come with the voice: too loud, sidetone, quantizing."""
        return self.iolr + self.ist + self.iq

    @property
    def id_(self) -> float:
        """Impairments by delay: talker echo, listener echo, too long a way."""
        return self.idte + self.idle + self.idd


def rate(c: Connection) -> Rating:
    """Return the rating of a connection by the full model, echo included (G.107 clause 7)."""
    olr = c.slr_db + c.rlr_db
    no = _noise(c, olr)
    ro = 15 - 1.5 * (c.slr_db + no)

    loudness = (olr + 0.2 * (64 + no - c.rlr_db)) / 8
    iolr = 20 * ((1 + loudness**8) ** (1 / 8) - loudness)
    ist = _sidetone(c)
    g = 37 - 15 * math.log10(c.qdu)
    g = 1.07 + 0.258 * g + 0.0602 * g**2
    y = (ro - 100) / 15 + 46 / 8.4 - g / 9
    iq = 15 * math.log10(1 + 10**y + 10 ** (46 / 30 - g / 40))

    idte = _talker_echo(c, no, ist)
    listener = (ro - 10.5 * (c.wepl_db + 7) * (c.tr_ms + 1) ** -0.25) / 2
    idle = listener + math.sqrt(listener**2 + 169)
    idd = delay_impairment(c.ta_ms, st=c.st, mt_ms=c.mt_ms)
    ie_eff = loss_impairment(Codec(c.ie, c.bpl), c.ppl_percent, c.burst_ratio)
    r = ro - (iolr + ist + iq) - (idte + idle + idd) - ie_eff + c.a
    return Rating(no, ro, iolr, ist, iq, idte, idle, idd, ie_eff, r)


def r_factor(c: Connection) -> float:
    """Return R of a connection by the full model."""
    return rate(c).r


def rate_echo_free(
    codec: Codec, *, one_way_ms: float, loss_percent: float, burst_ratio: float = 1.0
) -> float:
    """Return R of a connection whose echo is cancelled, as conferences do: model `ECHO_FREE`.

    `one_way_ms` is from mouth to ear, never a round trip. The full model would take some 3.5 points
    more at 150 ms for an echo that nobody hears.
    """
    lost = loss_impairment(codec, loss_percent, burst_ratio)
    return BASE_R - delay_impairment(one_way_ms) - lost


def delay_impairment(ta_ms: float, *, st: float = 1.0, mt_ms: float = 100.0) -> float:
    """Return Idd, what a long way takes from R; ValueError: a negative delay."""
    if not 0 <= ta_ms < math.inf:
        raise ValueError(f"one-way delay {ta_ms} ms, expected 0 or more")
    if ta_ms <= mt_ms:
        return 0.0
    x = math.log2(ta_ms / mt_ms)
    k = 6 * st  # a product; public code has 6 - sT, which is 5 where 6 is meant
    late = math.pow(1 + math.pow(x, k), 1 / k) - 3 * math.pow(1 + math.pow(x / 3, k), 1 / k) + 2
    return 25 * late


def loss_impairment(codec: Codec, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Return Ie,eff, what codec and loss take from R; ValueError: no percentage, no robustness."""
    if not 0 <= loss_percent <= 100:
        raise ValueError(f"loss {loss_percent} %, expected 0 to 100")
    if not codec.bpl > 0:
        raise ValueError(f"Bpl {codec.bpl}, expected more than 0")
    bursts = max(1.0, burst_ratio)  # more regular than chance: the model knows no such loss
    return codec.ie + (95 - codec.ie) * loss_percent / (loss_percent / bursts + codec.bpl)


def is_extrapolated(loss_percent: float, burst_ratio: float = 1.0) -> bool:
    """Whether loss or bursts go beyond what the packet-loss term was fitted to."""
    return loss_percent > LIMIT_LOSS_PERCENT or burst_ratio > LIMIT_BURST_RATIO


def mos(r: float) -> float:
    """Return the mean opinion score of a rating: 1 to 4.5 (G.107 annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The cubic dips below 1 for R under 6.5, where no listener can score.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _noise(c: Connection, olr: float) -> float:
    """Return No: circuit noise, both rooms and the noise floor, as one power."""
    pre = c.pr_db + 10 * math.log10(1 + 10 ** ((10 - c.lstr_db) / 10))
    nos = c.ps_db - c.slr_db - c.ds - 100 + 0.004 * (c.ps_db - olr - c.ds - 14) ** 2
    nor = c.rlr_db - 121 + pre + 0.008 * (pre - 35) ** 2
    nfo = c.nfor_dbm + c.rlr_db
    return 10 * math.log10(sum(10 ** (level / 10) for level in (c.nc_dbm, nos, nor, nfo)))


def _sidetone(c: Connection) -> float:
    echo = math.exp(-c.t_ms / 4) * 10 ** (-c.telr_db / 10)
    stmro = -10 * math.log10(10 ** (-c.stmr_db / 10) + echo)
    ist: float = (
        12 * (1 + ((stmro - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((stmro + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((stmro - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    return ist


def _talker_echo(c: Connection, no: float, ist: float) -> float:
    if c.t_ms < 1:
        return 0.0
    way = 40 * math.log10((1 + c.t_ms / 10) / (1 + c.t_ms / 150))
    terv = c.telr_db - way + 6 * math.exp(-0.3 * c.t_ms**2)
    if c.stmr_db < 9:
        terv += ist / 2
    half = (-1.5 * (no - c.rlr_db) - (80 + 2.5 * (terv - 14))) / 2
    idte = (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-c.t_ms))
    return math.hypot(idte, ist) if c.stmr_db > 20 else idte
