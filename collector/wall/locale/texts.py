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
