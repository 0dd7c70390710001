"""A province as values: what the folder says, after it was found to be without mistakes."""

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from agent.config import AgentConfig
from collector.inventory.limits import Limits

Scope = Literal["site", "central", "external"]
Layer = Literal["nic", "gateway", "line", "internet", "tslcd", "dns", "service"]
LineKind = Literal["ftth", "tslcd", "4g"]
Select = Literal["source", "interface", "anchor", "none"]
LoadTests = Literal["all", "sound", "none"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Text(Struct, frozen=True, kw_only=True):
    """A name in both languages."""

    vi: str
    en: str


COMMUNE_KINDS = ("xã", "phường", "đặc khu")
DATA_CENTRE = "trung tâm dữ liệu"
SITE_KINDS = {
    "xã": Text(vi="xã", en="commune"),
    "phường": Text(vi="phường", en="ward"),
    "đặc khu": Text(vi="đặc khu", en="special zone"),
    "trung tâm hành chính công": Text(
        vi="trung tâm phục vụ hành chính công", en="public administration service centre"
    ),
    "sở ngành": Text(vi="sở, ban, ngành", en="department"),
    DATA_CENTRE: Text(vi="trung tâm dữ liệu", en="data centre"),
}
DEVICE_KINDS = {
    "gateway": Text(vi="bộ định tuyến", en="router"),
    "tslcd-gateway": Text(vi="cổng TSLCD tại chỗ", en="TSLCD gateway on the spot"),
    "switch": Text(vi="bộ chia mạng", en="switch"),
    "printer": Text(vi="máy in", en="printer"),
    "scanner": Text(vi="máy quét", en="scanner"),
    "counter-pc": Text(vi="máy quầy", en="counter PC"),
    "conference-endpoint": Text(vi="thiết bị đầu cuối hội nghị", en="conference endpoint"),
    "server": Text(vi="máy chủ", en="server"),
}


class Carrier(Struct, frozen=True, kw_only=True):
    """Who runs a line, and addresses of its own to tell its fault from others'."""

    name: str
    anchors: list[str] = []
    networks: list[str] = []
    """Where its customers' public addresses are: `203.0.113.0/24`. They tell which line a site
    that cannot choose is on."""
    route: str = ""
    """Whom to call: a key of on_call."""


class System(Struct, frozen=True, kw_only=True):
    """A thing people name."""

    name: Text
    owner: str
    scope: Scope
    route: str = ""
    """Whom to call: a key of on_call."""


class Phase(Struct, frozen=True, kw_only=True):
    """A part of the event: from, to (not included), and the profile in force."""

    name: Text
    begins: datetime
    ends: datetime
    profile: str


class Profile(Struct, frozen=True, kw_only=True):
    """Rates and patience of a phase."""

    batch_seconds: float
    silent_after_seconds: float
    """An agent not heard for this long is silent."""
    interval_factor: float = 1.0
    """Every check's interval is multiplied by this."""
    load_tests: LoadTests = "all"
    """Which runs that load what all sites share may begin; `sound`: streams without frames."""
    limits: Limits = Limits()
    """From where on quality is poor."""


class Trunk(Struct, frozen=True, kw_only=True):
    """What many sites load together: the line before a conference bridge, say."""

    name: Text
    mbit_s: float
    """Each way."""
    share: float
    """How much of it tests may use, 0 to 1."""
    hosts: list[str]
    """The targets that lie behind it."""

    @property
    def bits_per_second(self) -> float:
        """Return its whole capacity, one way."""
        return self.mbit_s * 1e6


class Load(Struct, frozen=True, kw_only=True):
    """What one run of a check puts on a trunk, one way."""

    trunk: str
    bits_per_second: float
    """On Ethernet."""
    seconds: float
    max_bytes: int
    sound: bool
    """A voice's: thin and even."""
    stream: str = ""
    """Of agent.wire.STREAMS; "" where it is none."""


class Route(Struct, frozen=True, kw_only=True):
    """Whom a page goes to, and who is next if nobody acknowledges it in time."""

    name: Text
    escalate_to: str = ""
    escalate_after_seconds: float | None = None


class OfficeHours(Struct, frozen=True, kw_only=True):
    """When offices are open: a site switched off outside is closed, not broken."""

    days: tuple[Day, ...]
    spans: tuple[tuple[time, time], ...]
    """From, to (not included), local time; never over midnight."""


class Window(Struct, frozen=True, kw_only=True):
    """Planned work: one time (begins, ends), or each of some days (days, span).

    What begins meanwhile where it covers pages nobody before the window ends. Of the keys below
    those that name something must all be met; one at least does.
    """

    id: str
    name: Text
    begins: datetime | None = None
    ends: datetime | None = None
    """Not included."""
    days: tuple[Day, ...] = ()
    span: tuple[time, time] | None = None
    """From, to (not included), local time; where `to` is not later, it is the next day's."""
    sites: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    """Former provinces."""
    lines: tuple[str, ...] = ()
    """Names of lines."""
    carriers: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()


class Site(Struct, frozen=True, kw_only=True):
    """A commune (id: its official 5-digit code) or another place of the province."""

    id: str
    name: str
    kind: str
    """A key of SITE_KINDS."""
    former_province: str
    lat: float | None
    lon: float | None
    agents: tuple[str, ...]
    web: str = ""
    """Host of the site's own web pages; "" where it has none yet."""
    contact_name: str = ""
    contact_phone: str = ""

    def suffix(self, agent: str) -> str:
        """Return what follows the site's id in an agent's: `ttpv`; "" for the first agent."""
        return agent[len(self.id) :].removeprefix("-")


class SiteLine(Struct, frozen=True, kw_only=True):
    """One carrier connection of a site. Names are unique within a site."""

    site: str
    agent: str = ""
    """The one agent that is on it; "" for every agent of the site."""
    name: str
    carrier: str
    kind: LineKind
    contracted_mbit_s: float | None
    select: Select
    source: str = ""
    interface: str = ""
    anchor: str = ""


class Device(Struct, frozen=True, kw_only=True):
    """What stands in an office. Ids are unique within a site."""

    site: str
    agent: str = ""
    """The one agent that stands in its building; "" for every agent of the site."""
    id: str
    kind: str
    """A key of DEVICE_KINDS."""
    address: str


class CheckInfo(Struct, frozen=True, kw_only=True):
    """What people need to know of a check, whoever runs it."""

    id: str
    system: str
    layer: Layer
    kind: str
    name: Text
    expect: Literal["reachable", "unreachable"] = "reachable"
    interval_seconds: float = 0.0
    """As written; a profile multiplies it by its interval_factor."""
    local: bool = False
    """Whether its targets stand in the agent's own office: the same address is another thing
    elsewhere."""


class Series(Struct, frozen=True):
    """One thing measured from one place: the key of live state. All four are inventory words."""

    agent: str
    check: str
    target: str
    line: str


class Inventory(Struct, frozen=True, kw_only=True):
    """A whole province. Mappings are in the order of the files."""

    id: str
    """The folder's name: `phu-tho`."""
    name: Text
    time_zone: ZoneInfo
    carriers: Mapping[str, Carrier]
    systems: Mapping[str, System]
    phases: Mapping[str, Phase]
    profiles: Mapping[str, Profile]
    default_profile: str
    office_hours: OfficeHours | None = None
    """None: never closed."""
    on_call: Mapping[str, Route] = {}
    sites: Mapping[str, Site]
    lines: Mapping[str, tuple[SiteLine, ...]]
    """By site."""
    devices: Mapping[str, tuple[Device, ...]]
    """By site."""
    checks: Mapping[str, CheckInfo]
    site_of_agent: Mapping[str, str]
    configs: Mapping[str, AgentConfig]
    """By agent, for the default profile; `version` is 0 here, the collector numbers them."""
    subjects: Mapping[Series, str]
    """Every series that can exist -> the site it speaks about: the agent's own site, or for a
    `for_each: sites` check of a central agent the site whose system is watched."""
    series_of_agent: Mapping[str, tuple[Series, ...]]
    interval_of: Mapping[Series, float]
    """Seconds between two runs, by the default profile."""
    trunks: Mapping[str, Trunk] = {}
    loads: Mapping[Series, Load] = {}
    """Those series that run only in slots, and what a run of theirs loads."""
    maintenance: tuple[Window, ...] = ()

    def profile_at(self, now: datetime) -> Profile:
        """Return the profile in force at a moment (aware datetime)."""
        return self.profiles[self.profile_name_at(now)]

    def profile_name_at(self, now: datetime) -> str:
        """Return the key of the profile in force at a moment (aware datetime)."""
        for phase in self.phases.values():
            if phase.begins <= now < phase.ends:
                return phase.profile
        return self.default_profile

    def config_for(self, agent: str, profile: str) -> AgentConfig:
        """Return an agent's configuration by another profile; `version` is 0."""
        rates = self.profiles[profile]
        config = self.configs[agent]
        return msgspec.structs.replace(
            config,
            batch_seconds=rates.batch_seconds,
            checks=[
                msgspec.structs.replace(
                    check,
                    interval_seconds=self.checks[check.id].interval_seconds * rates.interval_factor,
                )
                for check in config.checks
            ],
        )

    def is_open(self, now: datetime) -> bool:
        """Whether offices are open at a moment (aware datetime)."""
        if self.office_hours is None:
            return True
        local = now.astimezone(self.time_zone)
        return DAYS[local.weekday()] in self.office_hours.days and any(
            begins <= local.time() < ends for begins, ends in self.office_hours.spans
        )


class AgentSelector(Struct, frozen=True, kw_only=True):
    """Which agents run a check: every key given must match. No key: every agent."""

    site: list[str] = []
    agent: list[str] = []
    suffix: list[str] = []
    """What follows the site's id in the agent's: `ttpv` of 04792-ttpv; "" for the first agent."""
    kind: list[str] = []
    """Kinds of site."""
    former_province: list[str] = []
    line: list[str] = []
    """Those who have a line of one of these names."""
    carrier: list[str] = []
    """Those who have a line of one of these carriers."""


class DeviceSelector(Struct, frozen=True, kw_only=True):
    """Which devices of the agent's building a check is about: one target for each."""

    kind: list[str] = []
    device: list[str] = []


class RawCheck(Struct, frozen=True, kw_only=True):
    """One entry of checks.yml, as written."""

    id: str
    name: Text
    system: str
    layer: Layer
    kind: str
    targets: list[str]
    params: dict[str, Any] = {}
    interval_seconds: float
    timeout_seconds: float = 5.0
    agents: AgentSelector = AgentSelector()
    devices: DeviceSelector | None = None
    line: str = "any"
    """`any` (the system chooses the route), `each` selectable line, or a line's name."""
    for_each: Literal["", "sites", "carriers"] = ""
    """`sites`: one set of targets per site that has the fields used. `carriers`: one per anchor of each carrier."""
    expect: Literal["reachable", "unreachable"] = "reachable"
