"""What is known of a series, an agent and a site at this moment. Only Fleet writes here."""

from typing import Literal

from msgspec import Struct

from agent.wire import LineState, PowerState, Sample, SpoolState
from collector.inventory.model import Series
from collector.state.meters import Meter

Confirmed = Literal["up", "down", "unknown"]
Contact = Literal["never", "live", "silent", "closed"]
"""never: not heard since the inventory knows it · closed: said bye, its silence is meant."""
Tile = Literal["ok", "never", "closed", "degraded", "silent", "down"]

# A fault here takes every service of the place with it.
BELOW_SERVICE = frozenset({"nic", "gateway", "line", "internet", "tslcd"})


class Vote(Struct, frozen=True, gc=False):
    """One attempt that counts."""

    at: float
    failure: str | None
    """None: the target did its part."""
    detail: str


class SeriesState(Struct, kw_only=True):
    """One thing measured from one place."""

    site: str
    """The site it speaks about."""
    interval: float
    """Seconds between two runs by the default profile."""
    state: Confirmed = "unknown"
    since: float
    """Down or up: time of the first attempt that said so. Unknown: of the last one that counted."""
    votes: tuple[Vote, ...] = ()
    """The last three attempts that count, oldest first; () once the newest is stale."""
    voted_at: float = 0.0
    """The newest vote's time, never ahead of the centre's clock."""
    first_failure: Vote | None = None
    """What the present `down` began with."""
    at: float = float("-inf")
    """Corrected time of `sample`."""
    sample: Sample | None = None
    """The newest there is, whether it counts or not."""
    meter: Meter | None = None
    """Of those that tell of quality."""

    @property
    def measured(self) -> Sample | None:
        """The newest sample, where it is fresh and says something about the target."""
        return self.sample if self.votes and self.votes[-1].at == self.at else None


class AgentState(Struct, kw_only=True):
    """One PC, as its last push told."""

    site: str
    contact: Contact = "never"
    since: float
    """Of `contact`. Silent and closed: the moment of the last push."""
    heard_at: float | None = None
    """Centre's time of the last push."""
    returned_at: float = float("-inf")
    """Centre's time of the push that ended its last silence."""
    boot: str = ""
    ended_boot: str = ""
    """The boot that said bye: what still arrives from it was overtaken on the way."""
    upgrading: bool = False
    cloned: bool = False
    """Two boots of this agent's id are alive at once."""
    config: int = 0
    config_error: str = ""
    program: str = ""
    via: str = ""
    address: str = ""
    """Where the last push came from, seen from here, if the route was the office's own choice; ""
    when it went over a line that the agent chose."""
    carrier: str = ""
    """In whose network `address` is; "" where no carrier of the province lists it."""
    synchronised: bool = False
    clock_error: float | None = None
    """Half the round trip behind the agent's idea of the centre's time, seconds."""
    clock_offset: float | None = None
    """The PC's wall clock less the centre's, seconds."""
    spool: SpoolState = SpoolState()
    lines: dict[str, LineState] = {}
    power: PowerState | None = None
    pushes: int = 0
    samples: int = 0
    """Newest samples replaced."""
    changes: int = 0
    """Transitions of its series. The three numbers together say whether a rendering is old."""
    stale_due: float = float("inf")
    """No vote of its series becomes stale before this."""
    boots: dict[str, float] = {}
    """Other boots heard lately, and when."""
    returns: tuple[float, ...] = ()
    """When a boot spoke again after another one had."""


class SiteState(Struct, kw_only=True):
    """One place."""

    state: Tile = "never"
    since: float
    contact: Contact = "never"
    """live when any of its agents is; else silent when any is; else closed when any is."""
    last_seen: float | None = None


class Transition(Struct, frozen=True):
    """Something is now another than it was."""

    at: float
    """Centre's time when it was found."""
    what: Literal["series", "agent", "site"]
    key: Series | str
    before: str
    after: str
    since: float
