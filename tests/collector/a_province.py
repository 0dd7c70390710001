"""A province small enough to hold in one's head, and words for what its agents send.

Thượng Cốc (05293) has two buildings, an agent in each, and two lines; Yên Phú (05305) has one of
each. The data centre's agent `dc` watches the web site of both.
"""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agent.config import AgentConfig
from agent.wire import Push, Sample, Stamp
from collector.inventory.model import (
    DATA_CENTRE,
    Carrier,
    CheckInfo,
    Inventory,
    Layer,
    Profile,
    Scope,
    Series,
    Site,
    SiteLine,
    System,
    Text,
)

NOON = 1751346000.0
"""2025-07-01 12:00 in Việt Nam; every test's clock starts near it."""
TCOC, TCOC_TTPV, YPHU, DC = "05293", "05293-ttpv", "05305", "dc"
SILENT_AFTER = 4.0


def _text(vi: str, en: str) -> Text:
    return Text(vi=vi, en=en)


SYSTEMS: dict[str, System] = {
    "lan": System(name=_text("Mạng LAN", "LAN"), owner="UBND xã", scope="site"),
    "internet": System(name=_text("Internet", "Internet"), owner="nhà mạng", scope="site"),
    "tthc": System(name=_text("Hệ thống TTHC", "Procedures"), owner="Sở KHCN", scope="central"),
    "dvcqg": System(name=_text("Cổng DVC quốc gia", "Portal"), owner="VPCP", scope="external"),
}
CHECKS: dict[str, tuple[str, Layer, str, float]] = {
    # id: system, layer, kind, interval
    "gateway": ("lan", "gateway", "icmp", 1.0),
    "internet": ("internet", "internet", "icmp", 5.0),
    "dns": ("internet", "dns", "dns", 5.0),
    "tthc": ("tthc", "service", "http", 5.0),
    "dvcqg": ("dvcqg", "service", "http", 300.0),
    "web": ("tthc", "service", "http", 60.0),
}


def gateway(agent: str, target: str = "192.168.1.1") -> Series:
    """Return the series of an agent's gateway check."""
    return Series(agent, "gateway", target, "")


def a_province(sites: Iterable[str] = (TCOC, YPHU, DC)) -> Inventory:
    """Return the province, or the part of it that these sites are."""
    names = {TCOC: "Thượng Cốc", YPHU: "Yên Phú", DC: "Trung tâm dữ liệu tỉnh"}
    agents = {TCOC: (TCOC, TCOC_TTPV), YPHU: (YPHU,), DC: (DC,)}
    here = {site: names[site] for site in sites}
    subjects = dict(_subjects(here, agents))
    of_agent: dict[str, list[Series]] = {agent: [] for site in here for agent in agents[site]}
    for series in subjects:
        of_agent[series.agent].append(series)
    return Inventory(
        id="phu-tho",
        name=_text("Phú Thọ", "Phú Thọ"),
        time_zone=ZoneInfo("Asia/Ho_Chi_Minh"),
        carriers={
            "vnpt": Carrier(name="VNPT", networks=["203.0.113.0/25"]),
            "viettel": Carrier(name="Viettel"),
        },
        systems=SYSTEMS,
        phases={},
        profiles={"fast": Profile(batch_seconds=1.0, silent_after_seconds=SILENT_AFTER)},
        default_profile="fast",
        sites={
            site: Site(
                id=site,
                name=name,
                kind=DATA_CENTRE if site == DC else "xã",
                former_province="Hòa Bình",
                lat=None,
                lon=None,
                agents=agents[site],
            )
            for site, name in here.items()
        },
        lines={site: tuple(_lines(site)) for site in here},
        devices={},
        checks={
            check: CheckInfo(
                id=check,
                system=system,
                layer=layer,
                kind=kind,
                name=_text(f"Kiểm tra {check}", f"Check {check}"),
                interval_seconds=interval,
            )
            for check, (system, layer, kind, interval) in CHECKS.items()
        },
        site_of_agent={agent: site for site in here for agent in agents[site]},
        configs={agent: AgentConfig(version=0, agent=agent) for agent in of_agent},
        subjects=subjects,
        series_of_agent={agent: tuple(series) for agent, series in of_agent.items()},
        interval_of={series: CHECKS[series.check][3] for series in subjects},
    )


def _lines(site: str) -> Iterable[SiteLine]:
    for name, carrier in (("vnpt", "vnpt"), ("viettel", "viettel")):
        if site == TCOC or name == "vnpt":
            yield SiteLine(
                site=site,
                name=name,
                carrier=carrier,
                kind="ftth",
                contracted_mbit_s=100.0,
                select="interface",
                interface=name,
            )


def _subjects(
    sites: dict[str, str], agents: dict[str, tuple[str, ...]]
) -> Iterable[tuple[Series, str]]:
    for site in sites:
        if site == DC:
            for seen in sites:
                if seen != DC:
                    yield Series(DC, "web", f"https://{seen}.example/", ""), seen
            continue
        for agent in agents[site]:
            yield Series(agent, "gateway", "192.168.1.1", ""), site
            yield Series(agent, "gateway", "192.168.1.2", ""), site
            for line in _lines(site):
                yield Series(agent, "internet", "anchor.example", line.name), site
            yield Series(agent, "dns", "192.168.1.1", ""), site
            yield Series(agent, "tthc", "https://tthc.example/", ""), site
            yield Series(agent, "dvcqg", "https://dvcqg.example/", ""), site


def with_systems(inventory: Inventory, **scopes: Scope) -> Inventory:
    """Return the inventory with other scopes of its systems."""
    changed = {name: replace(SYSTEMS[name], scope=scope) for name, scope in scopes.items()}
    return replace(inventory, systems={**inventory.systems, **changed})


def a_push(agent: str, *, boot: str = "a", **said) -> Push:
    """Return a heartbeat."""
    return Push(
        v=1,
        agent=agent,
        boot=boot * 32,
        machine_boot="f" * 32,
        sent=Stamp(wall_ms=int(NOON * 1000), mono_ns=10**9),
        **said,
    )


def a_sample(series: Series, failure: str | None = None, **said) -> Sample:
    """Return one attempt of a series."""
    kind = CHECKS[series.check][2] if series.check in CHECKS else "icmp"
    whole = {"kind": kind, "duration": 0.01, "failure": failure, **said}
    start = Stamp(wall_ms=int(NOON * 1000), mono_ns=10**9)
    return Sample(
        check=series.check,
        target=series.target,
        line=series.line,
        version=1,
        start=start,
        **whole,
    )
