"""What an agent is told: by its own agent.yml, and by the centre.

Both are decoded strictly: an unknown key, kind or unit is refused with its place and what was
expected, all mistakes at once. The agent holds the centre's word against limits of its own, which
no configuration can widen.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from agent.probes import PROBES
from agent.probes.base import Source
from agent.strict import ConfigError, convert, read_yaml

MIN_INTERVAL_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 120.0
"""A minute of media, and what goes before and after it."""
MAX_CHECKS = 500
MAX_RUNS_PER_SECOND = 100.0
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One carrier connection, and how the agent chooses it."""

    name: str
    select: Literal["source", "interface", "anchor", "none"]
    source: str = ""
    interface: str = ""
    anchor: str = ""
    """An address that the office's router sends over this line: probed, never bound to."""

    def chosen_by(self) -> Source | None:
        """Return what a socket is bound to for this line; None where it cannot be bound."""
        if self.select == "source":
            return Source(address=self.source)
        if self.select == "interface":
            return Source(interface=self.interface)
        return None


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to measure, resolved for one agent."""

    id: str
    """Entries may share it while no target is in two of them over one line: each line can have
    targets of its own, and each target params of its own."""
    kind: str
    targets: list[str]
    params: dict[str, Any] = {}
    interval_seconds: float
    timeout_seconds: float = 5.0
    lines: tuple[str, ...] = ("",)
    """Each target is measured once per name; "" lets the system choose the route."""
    expect: Literal["reachable", "unreachable"] = "reachable"


class AgentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /api/v1/config`: everything the centre tells one agent."""

    version: int
    agent: str
    batch_seconds: float = 1.0
    """A push goes out this often, at the latest; sooner when a check changes its mind."""
    lines: list[Line] = []
    checks: list[Check] = []


class CollectorAddress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the centre is and how to be let in."""

    url: str
    token_file: Path
    ca_file: Path | None = None
    """PEM of the issuer to trust; None trusts the system's."""


class SpoolLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much unsent history the PC keeps."""

    max_bytes: int = 1 << 30
    max_age_seconds: float = 7 * 86400.0


class AgentFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """agent.yml."""

    agent: str
    collector: CollectorAddress
    state_directory: Path
    spool: SpoolLimits = SpoolLimits()
    lines: list[Line] = []
    """In force until the centre's first configuration; later the centre's are."""
    checks: list[Check] = []
    """In force until the centre's first configuration; also what `once` runs before it."""


def read_agent_file(path: Path) -> AgentFile:
    """Read agent.yml. ConfigError with every mistake; paths in it are relative to the file."""
    problems: list[str] = []
    parsed = convert(read_yaml(path), AgentFile, path.name, problems)
    if parsed is not None:
        problems += [f"{path.name}: {problem}" for problem in _mistakes_of_file(parsed)]
    if parsed is None or problems:
        raise ConfigError(problems)
    base = path.parent
    return msgspec.structs.replace(
        parsed,
        state_directory=base / parsed.state_directory,
        collector=msgspec.structs.replace(
            parsed.collector,
            token_file=base / parsed.collector.token_file,
            ca_file=base / parsed.collector.ca_file if parsed.collector.ca_file else None,
        ),
    )


def decode_agent_config(body: bytes, agent: str) -> AgentConfig:
    """Decode the centre's configuration for this agent. ConfigError with every mistake."""
    try:
        config = msgspec.json.decode(body, type=AgentConfig)
    except msgspec.DecodeError as exc:
        raise ConfigError([f"configuration from the centre: {exc}"]) from exc
    problems = [] if config.agent == agent else [f"agent is {config.agent!r}, expected {agent!r}"]
    problems += mistakes(config.lines, config.checks)
    if problems:
        raise ConfigError([f"configuration {config.version}: {problem}" for problem in problems])
    return config


def mistakes(lines: list[Line], checks: list[Check]) -> Iterator[str]:
    """Yield what is wrong with lines and checks, each with its place and what was expected."""
    names = [line.name for line in lines]
    selectable = {line.name for line in lines if line.chosen_by() or line.select == "anchor"}
    for doubled in sorted({name for name in names if names.count(name) > 1}):
        yield f"lines: name {doubled!r} is used twice"
    for line in lines:
        wanted = {"source": line.source, "interface": line.interface, "anchor": line.anchor}
        if not wanted.get(line.select, "-"):
            yield f"line {line.name}: select is {line.select!r}, so {line.select!r} is needed"
    runs = Counter(
        (check.id, target, line)
        for check in checks
        for target in check.targets
        for line in check.lines
    )
    for (name, target, _), times in runs.items():
        if times > 1:
            yield f"check {name}: target {target!r} is there twice"
    for check in checks:
        for problem in _mistakes_of_check(check, selectable):
            yield f"check {check.id}: {problem}"
    if len(checks) > MAX_CHECKS:
        yield f"checks: {len(checks)} of them, at most {MAX_CHECKS} are allowed"
    rate = sum(
        len(check.targets) * len(check.lines) / check.interval_seconds
        for check in checks
        if check.interval_seconds > 0
    )
    if rate > MAX_RUNS_PER_SECOND:
        yield f"checks: {rate:.0f} runs a second, at most {MAX_RUNS_PER_SECOND:.0f} are allowed"


def _mistakes_of_check(check: Check, selectable: set[str]) -> Iterator[str]:
    if not ID.fullmatch(check.id):
        yield "id: expected small letters, digits, '.', '_' or '-', at most 64"
    if check.interval_seconds < MIN_INTERVAL_SECONDS:
        yield (
            f"interval_seconds is {check.interval_seconds:g}, "
            f"expected {MIN_INTERVAL_SECONDS:g} or more"
        )
    if not 0 < check.timeout_seconds <= MAX_TIMEOUT_SECONDS:
        yield (
            f"timeout_seconds is {check.timeout_seconds:g}, "
            f"expected more than 0, at most {MAX_TIMEOUT_SECONDS:g}"
        )
    if not check.targets:
        yield "targets: expected at least one"
    for line in check.lines:
        if line and line not in selectable:
            known = ", ".join(sorted(selectable)) or "none"
            yield f"line {line!r} cannot be chosen here; lines that can: {known}"
    yield from mistakes_of_probe(check.kind, check.params, check.targets)


def mistakes_of_probe(kind: str, params: dict[str, Any], targets: list[str]) -> Iterator[str]:
    """Yield what a probe refuses of its parameters and targets."""
    probe = PROBES.get(kind)
    if probe is None:
        yield f"kind is {kind!r}, expected one of {', '.join(sorted(PROBES))}"
        return
    wrong: list[str] = []
    given: Struct | None = convert(params, probe.Params, "params", wrong)
    yield from wrong
    if given is None:
        return
    for target in targets:
        expected = probe.refuse_target(target, given)
        if expected:
            yield f"target {target!r}: {expected}"


def _mistakes_of_file(parsed: AgentFile) -> Iterator[str]:
    if not ID.fullmatch(parsed.agent):
        yield "agent: expected the site's code, or the code and a suffix such as 04792-ttpv"
    url = urlsplit(parsed.collector.url)
    loopback = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        yield "collector.url: expected https://… (plain http only on this machine)"
    yield from mistakes(parsed.lines, parsed.checks)
