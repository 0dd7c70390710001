"""Fragments: the rendered lines of each agent, kept until something of it changes.

A page of 148 sites is joined from them in under a millisecond; rendering it whole each time, as
prometheus_client does, costs hundreds.
"""

from collections import defaultdict
from collections.abc import Iterator

from agent.wire import Sample
from collector.export.families import CHECK_UP, MEASURED, OF_AGENT, Family, places
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from collector.state.states import AgentState, SeriesState

ALL_CHECKS_LIVE = 400
"""With more sites than this, `thongsuot_check_up` is on the page only where it is not 1, or not
yet for long: Prometheus' rules over 80,000 series take longer than a second."""
JUST_BACK_SECONDS = 60.0

AGENT_INFO = OF_AGENT["agent_info"].name

Row = tuple[SeriesState, str, str]
"""A series, its line of thongsuot_check_up without the value, its labels for probe_*."""


class Fragments:
    """The lines of one fleet by one inventory. Reads the fleet, never changes it.

    Without `measured` there are no `probe_*`.
    """

    def __init__(self, fleet: Fleet, *, measured: bool = True) -> None:
        self.inventory = fleet.inventory
        self._agents = fleet.agents
        self._measured = measured
        self._sparse = len(fleet.sites) > ALL_CHECKS_LIVE
        self._rows: dict[str, list[Row]] = {
            agent: [_row(one, fleet.series[one]) for one in series]
            for agent, series in fleet.inventory.series_of_agent.items()
        }
        self._live: dict[str, tuple[int, bytes]] = {}
        self._just_back: dict[str, float] = {}
        self._versions: dict[str, tuple[object, ...]] = {}
        self._lines: dict[str, dict[str, bytes]] = {name: {} for name in MEASURED}
        self._dropped: dict[str, int] = {}

    @property
    def dropped_values(self) -> int:
        """Numbers of the samples rendered last that had no row."""
        return sum(self._dropped.values())

    def checks_up(self, now: float) -> Iterator[bytes]:
        """Yield the lines of thongsuot_check_up."""
        for agent, state in self._agents.items():
            version, lines = self._live.get(agent, (-1, b""))
            if version != state.changes or now > self._just_back.get(agent, now):
                lines = self._render_live(agent, now)
                self._live[agent] = state.changes, lines
            yield lines

    def block(self, family: Family) -> Iterator[bytes]:
        """Yield a family's lines of all agents under its head; nothing where there are none."""
        lines = self._lines[family.name]
        if lines:
            yield family.head
            yield b"".join(lines.values())

    def render(self, agent: str) -> None:
        """Bring the lines of one agent up to date."""
        state = self._agents[agent]
        version = (state.contact, state.pushes, state.samples, state.changes)
        if self._versions.get(agent) == version:
            return
        self._versions[agent] = version
        found: defaultdict[str, list[str]] = defaultdict(list)
        of_agent = labels(site=state.site, agent=agent)
        for name, number in _numbers_of_agent(state):
            family = OF_AGENT[name].name
            found[family] = [f"{family}{{{of_agent}}} {number}\n"]
        if state.contact == "live":
            info = labels(site=state.site, agent=agent, carrier=state.carrier)
            found[AGENT_INFO] = [f"{AGENT_INFO}{{{info}}} 1\n"]
        dropped = 0
        for series, _, row in self._rows[agent]:
            sample = series.measured
            if sample is not None and not sample.error:
                dropped += _render_sample(sample, row, found if self._measured else None)
        self._dropped[agent] = dropped
        for name, lines in self._lines.items():
            if name in found:
                lines[agent] = "".join(found[name]).encode()
            else:
                lines.pop(agent, None)

    def _render_live(self, agent: str, now: float) -> bytes:
        lines = []
        ends = []
        for series, prefix, _ in self._rows[agent]:
            if series.state == "unknown":
                continue
            if self._sparse and series.state == "up":
                if now > series.since + JUST_BACK_SECONDS:
                    continue
                ends.append(series.since + JUST_BACK_SECONDS)
            lines.append(f"{prefix} {int(series.state == 'up')}\n")
        self._just_back.pop(agent, None)
        if ends:
            self._just_back[agent] = min(ends)
        return "".join(lines).encode()


def labels(**words: str) -> str:
    """Return labels as the text format wants them; a label without a word is left out."""
    return ",".join(f'{name}="{_escaped(word)}"' for name, word in words.items() if word)


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _row(series: Series, state: SeriesState) -> Row:
    live = labels(
        site=state.site,
        agent=series.agent,
        check=series.check,
        target=series.target,
        line=series.line,
    )
    measured = labels(
        instance=series.target,
        site=state.site,
        agent=series.agent,
        check=series.check,
        line=series.line,
    )
    return state, f"{CHECK_UP.name}{{{live}}}", measured


def _numbers_of_agent(state: AgentState) -> Iterator[tuple[str, float]]:
    """Yield what is true now: of an agent that is not heard only that, and since when."""
    if state.heard_at is not None:
        yield "agent_last_seen_timestamp_seconds", state.heard_at
    if state.contact == "silent":
        yield "agent_up", 0
    if state.contact != "live":
        return
    yield "agent_up", 1
    yield "agent_cloned", int(state.cloned)
    yield "agent_config_version", state.config
    yield "agent_config_refused", int(bool(state.config_error))
    yield "clock_synchronised", int(state.synchronised)
    yield "spool_pending_batches", state.spool.pending_batches
    yield "spool_pending_bytes", state.spool.pending_bytes
    yield "spool_failing", int(bool(state.spool.failing))
    yield "spool_dropped_batches_total", state.spool.dropped_batches
    yield "spool_damaged_records_total", state.spool.damaged_records
    yield "spool_set_aside_batches_total", state.spool.set_aside_batches
    if state.spool.oldest_pending_ms is not None:
        yield "spool_oldest_timestamp_seconds", state.spool.oldest_pending_ms / 1e3
    if state.clock_offset is not None:
        yield "clock_offset_seconds", round(state.clock_offset, 6)
    if state.clock_error is not None:
        yield "clock_error_seconds", state.clock_error
    if state.power is not None and state.power.on_mains is not None:
        yield "power_on_mains", int(state.power.on_mains)
    if state.power is not None and state.power.battery_ratio is not None:
        yield "power_battery_ratio", state.power.battery_ratio


def _render_sample(sample: Sample, row: str, found: defaultdict[str, list[str]] | None) -> int:
    """Add a sample's lines to those of their families; return how many numbers had no place."""
    numbers, dropped = places(sample)
    if found is not None:
        for place, number in numbers:
            found[place.family].append(f"{place.name}{{{row}{place.text}}} {number}\n")
    return dropped
