"""Layers: what is broken at one agent below its services, and what fails because of it.

One rule a layer, from the bottom up: the PC's clock, the office's network, each line, the resolver,
large packets. A layer that is broken explains what fails above it.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct

from collector.diagnosis.finding import Evidence, Unit, evidence_of
from collector.diagnosis.incident import Cause, Sign
from collector.diagnosis.places import Places, Post
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from collector.state.states import AgentState, SeriesState

CLOCK_SECONDS = 60.0
"""Signatures and certificates suffer from a clock that is wrong by more."""
CLOCK_GOOD_SECONDS = 30.0

UNRESOLVED = frozenset({"resolve_failed", "resolve_unavailable", "timeout"})
NOT_ANSWERED = frozenset({"timeout", "loss", "stalled", "too_slow"})
TLS_DATES = frozenset({"tls_expired", "tls_not_yet_valid"})
EARLY_PHASES = ("in phase connect", "in phase resolve", "in phase setup")


class Broken(Struct, frozen=True, kw_only=True):
    """A layer of one agent that is broken."""

    cause: Cause
    agent: str
    site: str
    line: str = ""
    units: Mapping[Unit, Evidence]
    covers: frozenset[Unit] = frozenset()
    rule: str
    facts: Mapping[str, str] = {}

    @property
    def since(self) -> float:
        """When it began."""
        return min(evidence.since for evidence in self.units.values())


def clock_is_wrong(agent: AgentState, tolerated: float) -> bool:
    """Whether a PC's clock is surely off by more than these seconds."""
    if agent.clock_offset is None:
        return False
    return abs(agent.clock_offset) - (agent.clock_error or 0.0) > tolerated


def path_state(anchors: Iterable[Series], series: Mapping[Series, SeriesState]) -> str:
    """Return up when an anchor is, down when all that are known are, else unknown."""
    states = {series[anchor].state for anchor in anchors}
    if "up" in states:
        return "up"
    return "down" if "down" in states else "unknown"


def after_connecting(state: SeriesState) -> bool:
    """Whether a target that was reached fell silent then, as where large packets vanish."""
    first = state.first_failure
    return (
        first is not None
        and first.failure in NOT_ANSWERED
        and first.detail.startswith("in phase")
        and not first.detail.startswith(EARLY_PHASES)
    )


def good_since(state: SeriesState, since: float) -> bool:
    """Whether the newest attempt that counts was a success, and made after `since`."""
    return state.state == "up" and state.voted_at > since and state.votes[-1].failure is None


class Layers:
    """The rules, over one agent's series. `failing`: those that are down."""

    def __init__(self, post: Post, fleet: Fleet, places: Places, failing: set[Series]) -> None:
        self._post = post
        self._series = fleet.series
        self._agent = fleet.agents[post.agent]
        self._places = places
        self._failing = failing
        self._anchors = {anchor for anchors in post.paths.values() for anchor in anchors}

    def broken(self, explained: AbstractSet[Unit], now: float) -> Iterator[Broken]:
        """Yield what is broken, the lowest first. The caller adds to `explained` as it goes."""
        yield from self._clock(now)
        yield from self._lan()
        yield from self._lines(explained)
        yield from self._resolver(explained)
        yield from self._large_packets(explained)

    def below(self, series: Series) -> list[list[SeriesState]]:
        """Return the layers below a series, each as its series that are up."""
        post, check = self._post, self._places.check(series)
        if series in post.nics:
            return []
        layers: list[Iterable[Series]] = [post.nics]
        in_office = self._places.in_office(series)
        if check.layer != "gateway" and (series.line == "" or in_office):
            layers.append(post.gateways)
        if not in_office and series not in self._anchors and check.layer != "gateway":
            layers += [
                anchors for line, anchors in post.paths.items() if self._goes_over(series, line)
            ]
            if check.layer != "dns":
                layers.append(post.dns)
        return [
            [self._series[one] for one in layer if self._series[one].state == "up"]
            for layer in layers
        ]

    def _clock(self, now: float) -> Iterator[Broken]:
        if clock_is_wrong(self._agent, CLOCK_SECONDS):
            unit = Sign("clock", self._post.agent)
            yield self._broken(
                "clock_wrong",
                {unit: Evidence(site=self._post.site, since=now)},
                covers={one for one in self._failing if self._failure(one) in TLS_DATES},
                rule=f"the PC's clock differs from the centre's by more than {CLOCK_SECONDS:g} s",
                facts={"clock": f"{self._agent.clock_offset:+.0f} s"},
            )

    def _lan(self) -> Iterator[Broken]:
        """Find that the card has no link, or that it or every gateway fails and nothing went through since.

        Without a link on the LAN, what still comes through goes by another port of the PC.
        """
        post = self._post
        units = self._down(post.nics)
        if path_state(post.gateways, self._series) == "down":
            units |= self._down(post.gateways)
        if not units:
            return
        since = min(evidence.since for evidence in units.values())
        through = [
            series
            for series in post.series
            if series.line == ""
            and self._places.answers_from_afar(series)
            and good_since(self._series[series], since)
        ]
        unplugged = any(self._failure(one) == "no_link" for one in post.nics if one in units)
        if through and not unplugged:
            return
        spared = {
            series
            for line, anchors in post.paths.items()
            if line and path_state(anchors, self._series) == "up"
            for series in post.series
            if series.line == line
        }
        yield self._broken(
            "lan_down",
            units,
            covers=self._failing - spared,
            rule="the card or every gateway fails, and nothing was reached through it since",
        )

    def _lines(self, explained: AbstractSet[Unit]) -> Iterator[Broken]:
        """Every anchor over a line fails, and nothing else came through it since."""
        # The office's own choice comes last: a broken line may be what it chose.
        for line, anchors in sorted(self._post.paths.items(), reverse=True):
            if path_state(anchors, self._series) != "down":
                continue
            units = self._down(anchors)
            if units.keys() <= explained:
                continue
            since = min(evidence.since for evidence in units.values())
            if self._carried(line, since):
                continue
            covers = {
                series
                for series in self._failing
                if series not in units and self._goes_over(series, line)
            }
            states = {
                other or "the office's choice": path_state(them, self._series)
                for other, them in self._post.paths.items()
                if other != line
            }
            yield self._broken(
                "line_down",
                units,
                covers=covers,
                line=line,
                rule="every anchor over this line fails, and nothing came through it since",
                facts={f"line {other}": state for other, state in states.items()},
            )

    def _carried(self, line: str, since: float) -> bool:
        """Whether something went through a line since: its anchors are dead, it is not."""
        agent = self._agent
        heard = agent.heard_at is not None and agent.heard_at > since
        if line:
            others = (
                one
                for one in self._post.series
                if one.line == line and self._places.answers_from_afar(one)
            )
            named = agent.via == line
        else:
            others = (
                one
                for one in self._post.series
                if one.line == "" and self._places.tells_of_internet(one)
            )
            named = agent.via == "" and agent.carrier != ""
        return (heard and named) or any(good_since(self._series[one], since) for one in others)

    def _goes_over(self, series: Series, line: str) -> bool:
        check, site = self._places.check(series), self._post.site
        over = self._places.path(series, site)
        if self._places.in_office(series) or check.kind == "nic" or check.layer == "gateway":
            return line != "" and check.local and over == line
        # Where the office chooses the way, it may choose any line to the Internet, a broken one too.
        return over == line or (over == "" and not self._places.is_tslcd(site, line))

    def _resolver(self, explained: AbstractSet[Unit]) -> Iterator[Broken]:
        """Find that the resolver this PC uses fails, or tells what is not so, while its line is well."""
        lies: dict[Unit, Evidence] = {}
        broken: dict[Unit, Evidence] = {}
        for series in self._failing:
            check = self._places.check(series)
            if check.kind != "dns" or series in explained:
                continue
            evidence = evidence_of(self._series[series])
            own = series in self._post.dns
            if evidence.failure == "dns_wrong_answer" and (
                own or self._places.scope[check.id] == "site"
            ):
                lies[series] = evidence
            elif own:
                broken[series] = evidence
        if lies:
            covers = {
                series
                for series in self._failing
                if series not in lies
                and not self._places.in_office(series)
                and series not in self._anchors
            }
            yield self._broken(
                "dns_hijack", lies, covers=covers, rule="the resolver answers what is not so"
            )
        elif broken and not self._any_up(self._post.dns):
            covers = {
                series
                for series in self._failing
                if series not in broken
                and not self._places.in_office(series)
                and (self._failure(series) in UNRESOLVED or self._asks_own_resolver(series))
                and series not in self._anchors
            }
            yield self._broken(
                "dns_broken",
                broken,
                covers=covers,
                rule="the resolver gives no answer while the line is well",
            )

    def _large_packets(self, explained: AbstractSet[Unit]) -> Iterator[Broken]:
        """Large packets vanish by the probe; or by one run of it, and something hangs as they do."""
        for series in self._post.above:
            if self._places.check(series).kind != "mtu" or series in explained:
                continue
            state = self._series[series]
            newest = state.votes[-1] if state.votes else None
            hangs = {one for one in self._failing if after_connecting(self._series[one])}
            sure = series in self._failing and self._failure(series) == "mtu_blackhole"
            if not sure and not (hangs and newest and newest.failure == "mtu_blackhole"):
                continue
            first = newest.at if newest and not sure else state.since
            line = self._places.path(series, self._post.site)
            covers = {one for one in hangs if self._places.path(one, self._post.site) == line}
            units: dict[Unit, Evidence] = {
                series: Evidence(site=state.site, since=first, failure="mtu_blackhole")
            }
            yield self._broken(
                "mtu_blackhole",
                units,
                covers=covers | {series},
                line=line,
                rule="small packets pass, large ones vanish",
                facts={"target": series.target},
            )

    def _asks_own_resolver(self, series: Series) -> bool:
        check = self._places.check(series)
        return check.kind == "dns" and check.local

    def _failure(self, series: Series) -> str:
        first = self._series[series].first_failure
        return (first.failure if first else "") or ""

    def _down(self, among: Iterable[Series]) -> dict[Unit, Evidence]:
        return {one: evidence_of(self._series[one]) for one in among if one in self._failing}

    def _any_up(self, among: Iterable[Series]) -> bool:
        return any(self._series[one].state == "up" for one in among)

    def _broken(
        self,
        cause: Cause,
        units: Mapping[Unit, Evidence],
        *,
        covers: Iterable[Series],
        rule: str,
        line: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> Broken:
        return Broken(
            cause=cause,
            agent=self._post.agent,
            site=self._post.site,
            line=line,
            units=units,
            covers=frozenset(covers) - frozenset(units),
            rule=rule,
            facts=facts or {},
        )
