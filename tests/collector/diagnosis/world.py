"""A province that lives by a simulated clock: offices, carriers, servers, and what befalls them.

Offices with an odd number have one Internet line, of VNPT or Viettel in turn, which they cannot
choose; every fourth has both and can. All have TSLCD, which does not lead to the collector. The
data centre has all three. Agents run their checks, ask again when one changes its mind, look below
when one fails, and push once a second over whatever line works.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import time
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import msgspec

from agent.config import AgentConfig
from agent.wire import Batch, PowerState, Push, Sample, Stamp
from collector.diagnosis.incident import Change, Incident
from collector.diagnosis.incidents import Incidents
from collector.ingest.entries import NewEntry
from collector.inventory.model import (
    DATA_CENTRE,
    DAYS,
    Carrier,
    CheckInfo,
    Inventory,
    OfficeHours,
    Profile,
    Series,
    Site,
    SiteLine,
    System,
    Text,
)
from collector.state.fleet import Fleet

TEN = 1751338800.0
"""2025-07-01 10:00 in Việt Nam: a Tuesday, offices are open."""
DC = "dc"
TICK = 0.5
AREAS = ("Phú Thọ", "Vĩnh Phúc", "Hòa Bình")
ADDRESS = {"vnpt": "203.0.113.9", "viettel": "203.0.113.200"}
ANCHOR = {"vnpt": "203.0.113.1", "viettel": "203.0.113.129", "tslcd": "198.51.100.1"}
SYSTEMS = {
    # id: owner, scope
    "lan": ("UBND xã", "site"),
    "counter": ("UBND xã", "site"),
    "internet": ("nhà mạng", "site"),
    "tslcd": ("Sở KHCN", "site"),
    "dns": ("Sở KHCN", "central"),
    "test-page": ("Sở KHCN", "central"),
    "tthc": ("VNPT", "central"),
    "qlvb": ("Sở KHCN", "central"),
    "mail": ("Sở KHCN", "central"),
    "portal": ("Văn phòng", "central"),
    "vc": ("Sở KHCN", "central"),
    "dvcqg": ("VPCP", "external"),
    "db-old": ("Sở KHCN", "central"),
    "data-centre": ("Sở KHCN", "central"),
}
CHECKS = {
    # id: system, layer, kind, interval, target
    "nic": ("lan", "nic", "nic", 10, "default"),
    "gateway": ("lan", "gateway", "icmp", 5, "192.168.1.1"),
    "printer": ("counter", "service", "icmp", 30, "192.168.1.21"),
    "internet": ("internet", "internet", "icmp", 5, ""),
    "dns-system": ("internet", "dns", "dns", 10, "system"),
    "tslcd": ("tslcd", "tslcd", "icmp", 5, ANCHOR["tslcd"]),
    "tslcd-services": ("tslcd", "service", "tcp", 30, "noi-bo.example:443"),
    "dns": ("dns", "dns", "dns", 30, "dns.example"),
    "page": ("test-page", "service", "http", 30, "http://thu-mang.example/204"),
    "tthc": ("tthc", "service", "http", 30, "https://tthc.example/"),
    "qlvb": ("qlvb", "service", "http", 60, "https://qlvb.example/"),
    "mail": ("mail", "service", "mail", 60, "mail.example:993"),
    "portal": ("portal", "service", "http", 60, "https://www.example/"),
    "vc": ("vc", "service", "icmp", 10, "cau.example"),
    "vc-mtu": ("vc", "service", "mtu", 60, "cau.example"),
    "dvcqg": ("dvcqg", "service", "http", 300, "https://dvcqg.example/"),
    "db-closed": ("db-old", "service", "tcp", 60, "cu.example:1433"),
    "anchor": ("data-centre", "line", "icmp", 5, ""),
}
TIMEOUT = {"icmp": 2.0, "mtu": 4.0, "http": 5.0, "dns": 3.0, "tcp": 3.0, "mail": 5.0, "nic": 0.1}
LOCAL = {"nic", "gateway", "printer"}
TTHC_TARGET = "https://tthc.example/"
BELOW = ("nic", "gateway", "internet", "tslcd", "dns-system", "anchor")
Failing = tuple[str, str] | None
"""Failure and detail of an attempt."""


def site_id(number: int) -> str:
    """Return the code of the n-th office."""
    return f"{5000 + number:05d}"


def lines_of(site: str) -> tuple[str, ...]:
    """Return a site's Internet lines, the first choice first."""
    if site == DC:
        return ("vnpt", "viettel")
    number = int(site) - 5000
    if number % 4 == 0:
        return ("vnpt", "viettel")
    return ("vnpt",) if number % 4 in {1, 2} else ("viettel",)


def has_two(site: str) -> bool:
    """Whether a site's agent chooses among two lines."""
    return len(lines_of(site)) == 2


def _text(name: str) -> Text:
    return Text(vi=name, en=name)


def _series(site: str) -> Iterable[Series]:
    two = has_two(site)
    for check, (_, _, _, _, target) in CHECKS.items():
        if check == "internet" and site != DC:
            for line in lines_of(site) if two else ("",):
                for carrier in ("vnpt", "viettel"):
                    yield Series(site, check, ANCHOR[carrier], line)
        elif check == "anchor" and site == DC:
            for line in ("vnpt", "viettel", "tslcd"):
                yield Series(site, check, ANCHOR[line], line)
        elif check == "tslcd" and site != DC:
            yield Series(site, check, target, "tslcd")
        elif target and not (site == DC and (check in LOCAL or check.startswith("tslcd"))):
            yield Series(site, check, target, "")


@lru_cache(maxsize=4)
def province(offices: int) -> Inventory:
    """Return a province of so many offices and a data centre."""
    sites = [site_id(number) for number in range(1, offices + 1)] + [DC]
    series = {site: tuple(_series(site)) for site in sites}
    return Inventory(
        id="thu",
        name=_text("Thử"),
        time_zone=ZoneInfo("Asia/Ho_Chi_Minh"),
        carriers={
            "vnpt": Carrier(name="VNPT", networks=["203.0.113.0/25"], anchors=[ANCHOR["vnpt"]]),
            "viettel": Carrier(
                name="Viettel", networks=["203.0.113.128/25"], anchors=[ANCHOR["viettel"]]
            ),
            "tslcd": Carrier(name="TSLCD"),
        },
        systems={
            name: System(name=_text(name), owner=owner, scope=scope)
            for name, (owner, scope) in SYSTEMS.items()
        },
        phases={},
        profiles={"fast": Profile(batch_seconds=1.0, silent_after_seconds=3.5)},
        default_profile="fast",
        office_hours=OfficeHours(
            days=DAYS[:5],
            spans=((time(7, 30), time(11, 30)), (time(13, 30), time(17, 0))),
        ),
        sites={
            site: Site(
                id=site,
                name=site,
                kind=DATA_CENTRE if site == DC else "xã",
                former_province=AREAS[index % 3] if site != DC else AREAS[0],
                lat=None,
                lon=None,
                agents=(site,),
            )
            for index, site in enumerate(sites)
        },
        lines={
            site: tuple(
                SiteLine(
                    site=site,
                    name=name,
                    carrier=name,
                    kind="tslcd" if name == "tslcd" else "ftth",
                    contracted_mbit_s=None,
                    select="anchor"
                    if name == "tslcd"
                    else "interface"
                    if has_two(site)
                    else "none",
                )
                for name in (*lines_of(site), "tslcd")
            )
            for site in sites
        },
        devices={},
        checks={
            check: CheckInfo(
                id=check,
                system=system,
                layer=layer,
                kind=kind,
                name=_text(check),
                interval_seconds=interval,
                local=check in LOCAL,
                expect="unreachable" if check == "db-closed" else "reachable",
            )
            for check, (system, layer, kind, interval, _) in CHECKS.items()
        },
        site_of_agent={site: site for site in sites},
        configs={site: AgentConfig(version=0, agent=site) for site in sites},
        subjects={one: site for site in sites for one in series[site]},
        series_of_agent=series,
        interval_of={one: float(CHECKS[one.check][3]) for site in sites for one in series[site]},
    )


@dataclass
class Fault:
    """Something wrong with some sites or targets from a moment until another one."""

    kind: str
    subject: str = ""
    """A carrier, a target, a failure: whatever the kind is about."""
    sites: frozenset[str] = frozenset()
    """Empty: everywhere."""
    begins: float = 0.0
    ends: float = float("inf")
    apart: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Sites with a begin and an end of their own."""
    detail: str = ""

    def holds(self, site: str, now: float) -> bool:
        """Whether it is so for a site now."""
        if self.sites and site not in self.sites:
            return False
        begins, ends = self.apart.get(site, (self.begins, self.ends))
        return begins <= now < ends


@dataclass(order=True)
class _Run:
    at: float
    order: int
    series: Series = field(compare=False)
    attempt: int = field(compare=False, default=1)


class World:
    """The simulation; `told` is everything that was told."""

    def __init__(self, offices: int = 12, start: float = TEN) -> None:
        self.inventory = province(offices)
        self.now = self.started = start
        self.offices = [site for site in self.inventory.sites if site != DC]
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.fleet = Fleet(self.inventory, started_at=start)
        self.incidents = Incidents()
        self.told: list[tuple[float, Change]] = []
        self.journal: list[NewEntry] | None = None
        """What the centre stored, once a test wants it."""
        self.battery: set[str] = set()
        self.backup: set[str] = set()
        """Sites whose PC can report by a phone when all else fails."""
        self.lower = True
        """Whether agents look below when a check fails."""
        self._runs: list[_Run] = []
        self._count = 0
        self._settled: dict[Series, bool] = {}
        self._busy: set[Series] = set()
        self._outbox: dict[str, list[tuple[float, float, Sample]]] = defaultdict(list)
        self._off: set[str] = set()
        self._boots: dict[str, int] = defaultdict(int)
        self._batches: dict[str, int] = defaultdict(int)
        for series, interval in self.inventory.interval_of.items():
            self._at(series, self.now + _share(*_words(series)) * min(interval, 5.0))

    # ---- what befalls it

    def fault(
        self,
        kind: str,
        subject: str = "",
        sites: Iterable[str] = (),
        *,
        lasts: float = 60.0,
        after: float = 0.0,
        over: float = 0.0,
        back_over: float = 0.0,
        detail: str = "",
    ) -> Fault:
        """Let something befall sites `after` seconds from now, one by one within `over` seconds."""
        begins = self.now + after
        one = Fault(kind, subject, frozenset(sites), begins, begins + lasts, detail=detail)
        order = sorted(one.sites or self.offices, key=_share)
        if over or back_over:
            for index, site in enumerate(order):
                part = index / max(1, len(order) - 1)
                one.apart[site] = (begins + over * part, begins + lasts + back_over * part)
        self.faults[kind].append(one)
        return one

    def _is(self, kind: str, site: str, subject: str = "") -> Fault | None:
        for one in self.faults.get(kind, ()):
            if one.subject in {"", subject} and one.holds(site, self.now):
                return one
        return None

    def _line_up(self, site: str, line: str) -> bool:
        return not (self._is("carrier", site, line) or self._is("line", site, line))

    def _lan_up(self, site: str) -> bool:
        return not (self._is("unplugged", site) or self._is("gateway", site))

    def _out(self, site: str, line: str) -> bool:
        """Whether a line of a site leads out."""
        return (
            self._lan_up(site) and not self._is("no-forwarding", site) and self._line_up(site, line)
        )

    def _way(self, site: str) -> str | None:
        """Return the Internet line in use; None where none leads out."""
        return next((line for line in lines_of(site) if self._out(site, line)), None)

    def _outcome(self, series: Series) -> Failing:
        """Return how an attempt ends now, from the nearest thing to the farthest."""
        site, check = series.agent, series.check
        if check in LOCAL:
            return self._nearby(site, check)
        line = self._line_of(series)
        if check == "db-closed":
            open_ = line and self._is("target", site, series.target)
            return ("reachable", "answered") if open_ else None
        if line is None:
            resolving = CHECKS[check][2] in {"http", "mail", "tcp", "mtu"}
            return "timeout", "in phase resolve" if resolving else ""
        if check in {"internet", "anchor", "tslcd"}:
            own = next(name for name, address in ANCHOR.items() if address == series.target)
            dead = self._is("anchor", site, own) or self._is("carrier", "", own)
            return ("timeout", "no answer to 3 echoes") if dead else None
        return self._afar(series, CHECKS[check][2])

    def _nearby(self, site: str, check: str) -> Failing:
        if check == "nic":
            return ("no_link", "no link") if self._is("unplugged", site) else None
        dead = not self._lan_up(site) if check == "gateway" else self._is("unplugged", site)
        own = self._is("device", site, check)
        return ("timeout", "no answer to 3 echoes") if dead or own else None

    def _line_of(self, series: Series) -> str | None:
        """Return the line an attempt goes over; None where it leads nowhere."""
        line = "tslcd" if series.check == "tslcd-services" else series.line
        if not line:
            return self._way(series.agent)
        return line if self._out(series.agent, line) else None

    def _afar(self, series: Series, kind: str) -> Failing:
        site, page = series.agent, kind in {"http", "mail"}
        if self._is("resolver", site) and (series.target == "system" or page):
            return ("dns_servfail" if series.target == "system" else "resolve_failed", "")
        if self._is("lies", site) and (series.target == "system" or page):
            return ("dns_wrong_answer" if series.target == "system" else "tls_wrong_name", "")
        if self._is("captive", site) and page:
            plain = series.target.startswith("http://")
            return ("http_redirect", "to another host") if plain else ("tls_untrusted", "")
        if self._is("mtu", site) and (page or kind == "mtu"):
            return ("mtu_blackhole", "") if kind == "mtu" else ("timeout", "in phase tls")
        found = self._is("target", site, series.target)
        return (found.detail or "timeout", "in phase connect") if found else None

    def _reports(self, site: str) -> tuple[str, str] | None:
        """Return how a push gets to the centre: line that was chosen, and address; None if not."""
        if self._is("power", site) or self._is("off", site) or self._is("centre", site):
            return None
        if site == DC:
            return "", "198.51.100.20"
        way = next(
            (
                line
                for line in lines_of(site)
                if self._out(site, line) and not self._is("centre-line", site, line)
            ),
            None,
        )
        if way is None:
            return ("", "192.0.2.77") if site in self.backup else None
        return (way if has_two(site) else "", ADDRESS[way])

    # ---- its clock

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end - 1e-6:
            self.now = round(self.now + TICK, 3)
            self._probe()
            for agent in self.inventory.site_of_agent:
                self._live(agent)
            self.fleet.tick(self.now)
            for change in self.incidents.observe(self.fleet, self.now):
                self.told.append((self.now, change))

    def _at(self, series: Series, at: float, attempt: int = 1) -> None:
        self._count += 1
        heapq.heappush(self._runs, _Run(at, self._count, series, attempt))

    def _probe(self) -> None:
        while self._runs and self._runs[0].at <= self.now:
            run = heapq.heappop(self._runs)
            series, agent = run.series, run.series.agent
            if run.attempt == 1:
                self._at(series, run.at + self.inventory.interval_of[series])
            if run.attempt != 3 and agent not in self._off:
                self._attempt(series, run.at, run.attempt)

    def _attempt(self, series: Series, at: float, attempt: int) -> None:
        failing = self._outcome(series)
        kind = CHECKS[series.check][2]
        slow = failing is not None and failing[0] in {"timeout", "mtu_blackhole"}
        took = TIMEOUT[kind] if slow else 0.05
        sample = Sample(
            check=series.check,
            target=series.target,
            line=series.line,
            kind=kind,
            version=1,
            start=Stamp(wall_ms=int(at * 1000), mono_ns=1),
            duration=took,
            failure=failing[0] if failing else None,
            detail=failing[1] if failing else "",
            attempt=attempt,
        )
        self._outbox[series.agent].append((at + took, at, sample))
        up = failing is None
        seldom = self.inventory.interval_of[series] >= 300
        if attempt == 1 and up != self._settled.get(series, True) and not seldom:
            self._at(series, at + took + 0.3, 2)
            if not up and self.lower:
                self._look_below(series, at + took)
        else:
            self._settled[series] = up

    def _look_below(self, failing: Series, at: float) -> None:
        for series in self.inventory.series_of_agent[failing.agent]:
            if series.check in BELOW and series != failing and self._settled.get(series, True):
                self._at(series, at, 2)

    def _live(self, agent: str) -> None:
        off = bool(self._is("power", agent) or self._is("off", agent))
        if off and agent not in self._off:
            self._off.add(agent)
            self._outbox[agent].clear()
            fault = self._is("off", agent)
            if fault and fault.subject == "bye":
                self._push(agent, "", "", bye="shutdown")
        elif not off and agent in self._off:
            self._off.discard(agent)
            self._boots[agent] += 1
        if off or (self.now + int(_share(agent) * 2) * TICK) % 1.0:
            return
        reached = self._reports(agent)
        if reached is None:
            return
        self._push(agent, *reached)
        ready = [one for one in self._outbox[agent] if one[0] <= self.now]
        self._outbox[agent] = [one for one in self._outbox[agent] if one[0] > self.now]
        ready.sort(key=lambda one: one[1])
        for _, at, sample in ready:
            self.fleet.apply(agent, sample, at, trusted=True, now=self.now)
        if ready and self.journal is not None:
            self.journal.append(self._entry(agent, ready))

    def _entry(self, agent: str, ready: list[tuple[float, float, Sample]]) -> NewEntry:
        self._batches[agent] += 1
        stamp = Stamp(wall_ms=int(self.now * 1000), mono_ns=int(self.now * 1e9))
        boot = f"{self._boots[agent]:032x}"
        batch = Batch(
            v=1,
            agent=agent,
            boot=boot,
            machine_boot="f" * 32,
            seq=self._batches[agent],
            sealed=stamp,
            synchronised=True,
            config=1,
            program="1",
            samples=[sample for _, _, sample in ready],
        )
        return NewEntry(
            agent=agent,
            boot=boot,
            seq=self._batches[agent],
            batch=batch,
            body=msgspec.json.encode(batch),
            times=[at for _, at, _ in ready],
            trusted=True,
            quarantined=[],
            received_at=self.now,
        )

    def _push(self, agent: str, via: str, address: str, *, bye: str = "") -> None:
        clock = self._is("clock", agent)
        offset = float(clock.detail) if clock else 0.0
        power = PowerState(on_mains=agent not in self.battery)
        push = Push(
            v=1,
            agent=agent,
            boot=f"{self._boots[agent]:032x}",
            machine_boot="f" * 32,
            sent=Stamp(wall_ms=int((self.now + offset) * 1000), mono_ns=int(self.now * 1e9)),
            anchor=0.0,
            anchor_error=0.01,
            synchronised=not offset,
            via=via,
            power=power,
            bye=bye,
        )
        self.fleet.heard(agent, push, self.now, address)

    # ---- what came of it

    def restart(self) -> None:
        """Start the collector again with what its store holds."""
        contacts = [
            (agent, state.contact, state.heard_at)
            for agent, state in self.fleet.agents.items()
            if state.heard_at is not None
        ]
        known = list(self.incidents.open.values())
        last = max((change.incident.id for _, change in self.told), default="")
        self.fleet = Fleet(self.inventory, started_at=self.now)
        for agent, contact, heard_at in contacts:
            self.fleet.remember(agent, contact, heard_at)
        self.incidents = Incidents(known, last_id=last)

    def ended(self) -> list[Incident]:
        """Return what was closed, as it ended."""
        return [change.incident for _, change in self.told if change.kind == "closed"]

    def opened(self) -> list[tuple[float, Incident]]:
        """Return what was opened, and when."""
        return [(at, change.incident) for at, change in self.told if change.kind == "opened"]

    def pages(self) -> list[tuple[str, str, int]]:
        """Return cause, key and number of sites of all that ended or is open, as it is known now."""
        every = [*self.ended(), *self.incidents.open.values()]
        return sorted((one.cause, one.key, len(one.sites)) for one in every)


def _words(series: Series) -> tuple[str, ...]:
    return series.agent, series.check, series.target, series.line


@cache
def _share(*words: str) -> float:
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
