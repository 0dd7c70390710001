"""The scene of a failure: everything that is looked at, at once, and put into words."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from agent import findings
from agent.aim import SYSTEM, Aim
from agent.clock import read_stamp
from agent.probes.base import Env
from agent.probes.net import is_address, system_resolvers
from agent.runner import Run
from agent.trace import trace
from agent.wire import LineState, Sample, write_path

PATH_CHARACTERS = 2_000
FACT_CHARACTERS = 900
NO_NAME = frozenset({"resolve_failed", "resolve_unavailable"})


@dataclass(frozen=True, slots=True)
class Case:
    """One run that went down."""

    run: Run
    sample: Sample
    aim: Aim
    at: float


@dataclass(frozen=True, slots=True)
class World:
    """What the agent's other parts know."""

    env: Env
    good: Callable[[], Iterable[Run]]
    """The runs that are up."""
    lines: Callable[[], Mapping[str, LineState]]
    resolvers: Callable[[], Iterable[str]]
    """Addresses of other resolvers than the PC's own."""


async def collect(case: Case, world: World, seconds: float) -> dict[str, str]:
    """Return all that is found within so many seconds; what could not be seen says why."""
    source = case.run.target.source
    address = address_of(case.aim, case.sample)
    facts = {"address": address} if address else {}
    if said := findings.lines(world.lines(), read_stamp().wall_ms):
        facts["lines"] = bounded(said, FACT_CHARACTERS)
    parts: dict[str, Awaitable[str]] = {"gateway": findings.gateway(source)}
    if address and not is_here(address) and case.sample.failure not in NO_NAME:
        parts["path"] = _traced(case.aim, address, case.run)
        if case.aim.tls and (case.sample.failure or "").startswith("tls_"):
            name = str(case.run.check.params.get("server_name", "")) or case.aim.host
            parts["tls_chain"] = findings.certificates(
                world.env, address, case.aim.port, name, source
            )
    if case.aim.name:
        parts["dns"] = _asked(case, world)
    tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=max(0.0, seconds))
    finally:
        late = [name for name, task in tasks.items() if not task.done()]
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    for name, task in tasks.items():
        most = PATH_CHARACTERS if name == "path" else FACT_CHARACTERS
        facts[name] = bounded("not finished in time" if name in late else _result(task), most)
    return facts


async def _traced(aimed: Aim, address: str, run: Run) -> str:
    return write_path(await trace(aimed, address, run.target.source))


async def _asked(case: Case, world: World) -> str:
    params = case.run.check.params
    kind = str(params.get("query_type", "AAAA" if case.aim.ip_version == 6 else "A"))
    servers = list(dict.fromkeys((*system_resolvers(), *world.resolvers())))[:2]
    return await findings.answers(
        case.aim.name, kind, [(server, 53) for server in servers], case.run.target.source
    )


def _result(task: "asyncio.Future[str]") -> str:
    exc = task.exception()
    return task.result() if exc is None else f"not measured: {findings.in_words(exc)}"


def address_of(aimed: Aim, sample: Sample) -> str:
    """Return the address that failed; "" where the name gave none."""
    return aimed.host if is_address(aimed.host) else sample.facts.get("address", "")


async def resolved(aimed: Aim, env: Env) -> str:
    """Return the address to trace to. ProbeError or OSError where there is none."""
    if aimed.host == SYSTEM:
        return system_resolvers()[0]
    if is_address(aimed.host):
        return aimed.host
    return (await env.resolve(aimed.host, aimed.ip_version))[0]


def is_here(address: str) -> bool:
    """Whether an address is this PC's own; "" is not."""
    return bool(address) and ipaddress.ip_address(address.partition("%")[0]).is_loopback


def bounded(text: str, most: int) -> str:
    """Return as many whole lines as fit."""
    while len(text) > most:
        text = text.rpartition("\n")[0] or text[:most]
    return text
