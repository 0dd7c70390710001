"""Twelve sites whose paths can be made worse at will, attempt by attempt.

Each has a LAN, an Internet line (vnpt for even numbers, viettel for odd ones), a bound TSLCD line, a
conference bridge asked by echoes and by media tests, and two central systems with pages.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.config import AgentConfig
from agent.wire import Sample
from collector.inventory.limits import InternetLimits, Limits
from collector.inventory.model import (
    Carrier,
    CheckInfo,
    Inventory,
    Layer,
    Phase,
    Profile,
    Series,
    Site,
    SiteLine,
    System,
    Text,
)
from collector.state.fleet import Fleet
from tests.collector.a_province import NOON, a_province, a_push, a_sample

SITES = tuple(f"{number:05}" for number in range(12))
CHECKS: dict[str, tuple[str, Layer, str, str, tuple[str, ...]]] = {
    # id: system, layer, kind, line, targets
    "gateway": ("lan", "gateway", "icmp", "", ("192.168.1.1",)),
    "internet": ("internet", "internet", "icmp", "", ("203.0.113.1", "203.0.113.129")),
    "tslcd": ("tslcd", "tslcd", "icmp", "tslcd", ("198.51.100.1",)),
    "vc": ("vc", "service", "icmp", "", ("cau.example",)),
    "vc-sound": ("vc", "service", "media", "", ("cau.example:20000",)),
    "tthc": ("tthc", "service", "http", "", ("https://tthc.example/",)),
    "dvcqg": ("dvcqg", "service", "http", "", ("https://dvcqg.example/",)),
}
STRICT = Limits(internet=InternetLimits(loss=0.01, delay_from_seconds=0.05, delay_factor=2))
STEP = 5.0
"""Seconds between two attempts of everything."""


def _text(word: str) -> Text:
    return Text(vi=word, en=word)


def system(owner: str, scope: str) -> System:
    """Return a system."""
    return System(name=_text(owner), owner=owner, scope=scope)


def province() -> Inventory:
    """Return the province; a phase with stricter limits begins an hour after NOON."""
    series = {
        Series(site, check, target, line): site
        for site in SITES
        for check, (_, _, _, line, targets) in CHECKS.items()
        for target in targets
    }
    base = a_province()
    begins = datetime.fromtimestamp(NOON + 3600, base.time_zone)
    return replace(
        base,
        carriers={
            "vnpt": Carrier(name="VNPT"),
            "viettel": Carrier(name="Viettel"),
            "tslcd": Carrier(name="Đơn vị TSLCD"),
        },
        systems={
            "lan": system("UBND xã", "site"),
            "internet": system("Nhà mạng", "site"),
            "tslcd": system("Sở KHCN", "site"),
            "vc": system("Sở KHCN", "central"),
            "tthc": system("VNPT", "central"),
            "dvcqg": system("VPCP", "external"),
        },
        phases={
            "ceremony": Phase(
                name=_text("Lễ"), begins=begins, ends=begins + timedelta(hours=1), profile="live"
            )
        },
        profiles={
            "calm": Profile(batch_seconds=1.0, silent_after_seconds=4.0),
            "live": Profile(batch_seconds=1.0, silent_after_seconds=4.0, limits=STRICT),
        },
        default_profile="calm",
        sites={
            site: Site(
                id=site,
                name=site,
                kind="xã",
                former_province="Hòa Bình",
                lat=None,
                lon=None,
                agents=(site,),
            )
            for site in SITES
        },
        lines={site: tuple(_lines(site)) for site in SITES},
        checks={
            check: CheckInfo(id=check, system=of, layer=layer, kind=kind, name=_text(check))
            for check, (of, layer, kind, _, _) in CHECKS.items()
        },
        site_of_agent={site: site for site in SITES},
        configs={site: AgentConfig(version=0, agent=site) for site in SITES},
        subjects=series,
        series_of_agent={site: tuple(one for one in series if one.agent == site) for site in SITES},
        interval_of=dict.fromkeys(series, STEP),
    )


def _lines(site: str) -> Iterable[SiteLine]:
    own = ("vnpt", "viettel")[int(site) % 2]
    for name, kind, select in ((own, "ftth", "none"), ("tslcd", "tslcd", "anchor")):
        yield SiteLine(
            site=site, name=name, carrier=name, kind=kind, contracted_mbit_s=None, select=select
        )


def echo(series: Series, delay: float | None, *, lost: int = 0, jitter: float = 0.001, **said):
    """Return the sample of three echoes; `delay` None: not one came back."""
    values = {"icmp_loss_ratio": lost / 3 if delay is not None else 1.0}
    phases = {}
    if delay is not None:
        phases["rtt"] = delay
        values["icmp_jitter_seconds"] = jitter
    failure = None if delay is not None else "timeout"
    return a_sample(series, failure, kind="icmp", phases=phases, values=values, **said)


def page(series: Series, seconds: float) -> Sample:
    """Return the sample of a page that took so long."""
    return a_sample(series, kind="http", duration=seconds)


def media(series: Series, *, mos: float = 4.3, loss: float = 0.0, late: float = 0.0) -> Sample:
    """Return the sample of a media test."""
    values = {
        "media_loss_ratio.forward": loss,
        "media_loss_ratio.backward": 0.0,
        "media_late_ratio.forward": late,
        "media_late_ratio.backward": 0.0,
        "media_jitter_seconds.forward": 0.002,
        "media_jitter_seconds.backward": 0.002,
        "media_rtt_seconds.p50": 0.02,
        "media_mos.g711.g107-echo-free": mos,
    }
    return a_sample(series, kind="media", duration=20.0, values=values)


class Day:
    """A province that is measured every STEP seconds. `worse` says what is not as usual."""

    def __init__(self, at: float = NOON) -> None:
        self.fleet = Fleet(province(), started_at=at)
        self.now = at
        for site in SITES:
            self.fleet.heard(site, a_push(site), at)

    def goes_on(self, attempts: int, *worse) -> None:
        """Let everybody measure. `worse`: (sites, check, what it finds), the last word holds.

        A check may be written with its target: `internet 203.0.113.1`.
        """
        for _ in range(attempts):
            for series in self.fleet.series:
                self._measure(series, worse)
            self.now += STEP
            for site in SITES:
                self.fleet.heard(site, a_push(site), self.now)
            self.fleet.tick(self.now)

    def _measure(self, series: Series, worse) -> None:
        kind = CHECKS[series.check][2]
        usual = {"icmp": 0.01, "http": 0.4, "media": {}}[kind]
        found = usual
        for sites, check, what in worse:
            if series.agent in sites and check in {series.check, f"{series.check} {series.target}"}:
                found = what
        if found == "nothing":
            return
        if kind == "media":
            sample = media(series, **found)
        elif kind == "http":
            sample = page(series, found)
        elif isinstance(found, dict):
            sample = echo(series, **found)
        else:
            sample = echo(series, found)
        self.fleet.apply(series.agent, sample, self.now, trusted=True, now=self.now)
