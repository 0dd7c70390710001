"""The texts of the wall as one typed table: a language that lacks a text does not pass mypy."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Everything the wall says in one language.

    `{…}` is filled by `str.format`. A `|` parts the form for one from the form for many
    (`forms.plural`); a language without the difference leaves it out.
    """

    lang: str
    other_lang: str
    other_language: str
    decimal_mark: str
    thousands_mark: str
    weekdays: tuple[str, str, str, str, str, str, str]
    """Monday first."""
    units: tuple[str, str, str, str]
    """Seconds, minutes, hours, days."""
    short_units: tuple[str, str, str, str]
    """The same as a tile says them, without a space."""

    kind_names: Mapping[str, tuple[str, str]]
    """Kind of commune -> its name pattern in full, and where there is little room."""
    nouns: Mapping[str, str]
    """Kind of commune -> how several are counted; `communes` for a mixture, `places` for all."""
    former: str
    no_former: str
    """Title of the one group of a province that was not merged."""
    other_places: str

    states: Mapping[str, str]
    """Words of `view.STATES`."""
    broken_layers: Mapping[str, tuple[str, str]]
    """What is said of a place by the lowest layer that is broken: in its tile, in a sentence."""
    failures: Mapping[str, str]
    """Words of `agent.wire.failure.Failure`."""

    province: str
    title: str
    """Of the window, where nothing is wrong with the page itself."""
    unacknowledged_title: str
    stale_title: str
    data_age: str
    no_data: str
    late: str
    running: str
    """A phase that is on; `[]` stands for the counted time."""
    coming: str

    all_well: str
    stable: str
    after_hours: str
    nobody_reports: str
    loading: str
    """The collector has just started and does not know everything again."""
    silent: str
    """A cause in words. `places` is a name or a count, `word` one of `broken_layers`; what stands
    in [brackets] wears its state's colour in the sentence."""
    layer: str
    check: str
    causes: Mapping[str, str]
    """The same of every other cause of `Incident.cause`. `in_area` is "" or a text of that name."""
    in_area: str
    line: str
    some_line: str
    some_carrier: str
    some_system: str
    """Where several are meant, or it is not known which."""
    flapping: str
    blind: str
    """How the communes are while the province's own server is cut off."""
    since: str
    first_since: str
    """Where several began at different times."""
    cause_unknown: str
    led_by: str
    more_causes: str

    communes_region: str
    group_count: str
    show_all: str

    incidents_region: str
    incidents: str
    incidents_order: str
    no_incidents: str
    not_acknowledged: str
    silent_scope: str
    more_names: str
    """The first few places by name, and how many others."""
    reason: str
    """`of` is the check, `why` a failure in words."""
    check_reason: str
    """`of` are the places."""
    last_since: str

    systems: str
    systems_note: str
    more_systems: str
    more_good_systems: str

    lost: str
    lost_advice: str
    no_script: str
    worse: str
    worse_more: str

    evidence: str
    """The link to what an agent saw of a failure."""
    evidence_title: str
    evidence_facts: Mapping[str, str]
    """Names of what a page of evidence tells."""
    evidence_words: Mapping[str, str]
    """The fixed words of agent/findings.py and what is said for them."""
    in_phase: str
    phases: Mapping[str, str]
    """Where an attempt failed: the phases of all probes."""
    remarks: Mapping[str, str]
    """What an agent adds to a failure, where its form is ours."""
    remark: str
    """The agent's own words, in quotes."""
    evidence_none: str
    evidence_open: str
    evidence_closed: str
    evidence_earlier: str
    evidence_alike: str
    evidence_around: str
    evidence_back: str
    seconds_ago: str
    time_untrusted: str
    line_by_system: str
    certificate: str
    path: str
    path_now: str
    path_good: str
    path_hop: str
    path_router: str
    path_ms: str
    path_this_pc: str
    path_silence: str
    path_answered: str
    path_whole: str
    """Where the way broke: it did not, at a word of the target, of a router, in silence …"""
    path_refused: str
    path_stopped: str
    path_silent: str
    path_silent_good: str
    path_circle: str
    path_nobody: str
    path_behind_gateway: str
    path_gateway_alone: str
    """The gateway is the target, too."""
    path_gateway_in_arp: str
    path_here: str
    path_none: str
    path_no_address: str

    ledger: str
    """The link to what became of every measurement."""
    ledger_title: str
    ledger_window: str
    ledger_verdict: str
    ledger_nothing: str
    ledger_doubled_none: str
    ledger_doubled: str
    ledger_unaccounted_none: str
    ledger_unaccounted: str
    ledger_pending: str
    ledger_whole: str
    ledger_heads: Mapping[str, str]
    """Heads of the ledger's columns."""
    ledger_causes: Mapping[str, str]
    """Words of `collector.state.gaps.CAUSES`."""
    ledger_announced: str
    ledger_gaps: str
    ledger_no_gaps: str
    ledger_checks: str
    ledger_checks_note: str
    ledger_batches: str
    ledger_batches_note: str
    ledger_places: str
    ledger_by_slot: str
    ledger_back: str
