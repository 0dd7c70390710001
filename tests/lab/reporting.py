"""An office that reports: a real agent on its PC, a real collector in the data centre.

Both know of the lines and checks from a province folder only, as in life.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from agent.config import Line
from agent.probes import PROBES
from agent.wire import Push, Sample
from collector.app import make_app, make_runner
from collector.centre import Centre
from collector.config import read_collector_file
from collector.ingest.decode import inflate
from collector.inventory.load import load
from tests.agent.probes.servers import server_context
from tests.e2e.province import AGENT, Program
from tests.lab.box import DATA_CENTRE, Box, Office, resolver
from tests.lab.namespaces import in_namespace, inside, resolv_conf
from tests.pki import issue, make_authority
from tests.programs import program, running
from tests.waiting import until

AGENT_QUICK_TO_RETURN = [
    sys.executable,
    "-c",
    "from agent import uplink; from agent.__main__ import main; uplink.STANDBY_SECONDS = 1; main()",
]
"""The agent, but that it looks each second, not every ten, whether a line is back."""
SITE, PORT, HOST = "04792", 8443, "centre.test"
PROVINCE = """\
name: {vi: Tỉnh Thử, en: Trial province}
time_zone: Asia/Ho_Chi_Minh
carriers:
  vnpt: {name: VNPT, networks: [10.101.0.0/16]}
  viettel: {name: Viettel, networks: [10.102.0.0/16]}
  tslcd: {name: TSLCD, networks: [10.103.0.0/16]}
systems:
  internet: {name: {vi: Internet, en: Internet}, owner: Nhà mạng, scope: site}
profiles:
  fast: {batch_seconds: 1, silent_after_seconds: 4}
default_profile: fast
"""
CHECK = """\
- id: {id}
  name: {{vi: Thử, en: Trial}}
  system: internet
  layer: internet
  interval_seconds: 1
  timeout_seconds: 0.8
"""


@dataclass(slots=True)
class Heard:
    """One push as the collector took it in."""

    at: float
    """Monotonic seconds."""
    push: Push
    seqs: list[int]


@dataclass(slots=True)
class Reporting:
    """What a test holds in its hands."""

    centre: Centre
    agent: Program
    heard: list[Heard] = field(default_factory=list)

    @property
    def via(self) -> str:
        """The line that the newest batch came over first; "" before there is one."""
        newest = max((seq for one in self.heard for seq in one.seqs), default=0)
        return next((one.push.via for one in self.heard if newest in one.seqs), "")

    async def steady(self, via: str) -> None:
        """Wait until the newest samples come over one line, and all lines are said to be well."""
        await until(
            lambda: (
                self.agent.running()
                and self.via == via
                and not any(line.failing for line in self.heard[-1].push.lines.values())
            ),
            seconds=30,
            what=f"steady over {via}",
        )

    async def first_after(self, moment: float, seconds: float = 10.0) -> Heard:
        """Return the first push with samples that came after a moment."""
        return await until(
            lambda: next((one for one in self.heard if one.at > moment and one.seqs), None),
            seconds=seconds,
            what="a push",
        )

    async def told_after(self, moment: float, line: str = "vnpt") -> Heard:
        """Return the first push after a moment that says that a line fails."""
        return await until(
            lambda: next(
                (one for one in self.heard if one.at > moment and one.push.lines[line].failing),
                None,
            ),
            seconds=10,
            what=f"{line} said to fail",
        )

    def states(self) -> dict[str, set[str]]:
        """Return what the collector has confirmed of each line's series."""
        found: dict[str, set[str]] = {}
        for series, state in self.centre.fleet.series.items():
            found.setdefault(series.line, set()).add(state.state)
        return found

    async def samples(self) -> list[Sample]:
        """Return all samples of the journal."""
        entries = await self.centre.journal.read(0, 100_000)
        return [sample for entry in entries for sample in entry.batch.samples]

    async def complete(self) -> int:
        """Hold that nothing was lost and nothing doubled; return the number of samples.

        To be called when the agent has ended, and has said bye.
        """
        entries = await self.centre.journal.read(0, 100_000)
        seqs = sorted(entry.seq for entry in entries)
        assert seqs == list(range(1, len(seqs) + 1)), "every batch once"
        runs: dict[tuple[str, str, str], list[int]] = {}
        for sample in await self.samples():
            if sample.kind not in PROBES:  # evidence, gathered beside the attempts
                continue
            done = sample.counters.get("all_success_count", 0) + sample.counters.get("errors", 0)
            runs.setdefault((sample.check, sample.target, sample.line), []).append(int(done))
        for run, numbers in runs.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), f"{run}: each attempt once"
        return sum(map(len, runs.values()))


@asynccontextmanager
async def reporting(
    province: Box,
    office: Office,
    folder: Path,
    lines: Sequence[Line],
    checks: Sequence[str],
) -> AsyncIterator[Reporting]:
    """Run collector and agent; `checks` are what follows CHECK, such as `line: each, kind: tcp`.

    The agent is told of lines and checks by the collector. The PC asks the carriers' resolvers.
    """
    _write_folder(folder, lines, checks)
    authority = make_authority("Lab CA")
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    shown = issue(folder / "centre", authority, host=HOST)
    with ExitStack() as stack:
        stack.enter_context(resolvers(province, folder))
        resolv_conf(office.pc, *(resolver(line) for line in ("vnpt", "viettel")))
        config = read_collector_file(folder / "collector.yml")
        centre = Centre(config, load(folder / "province"))
        token = centre.access.add(SITE, time.time())
        runner = make_runner(make_app(centre, config))
        agent = _agent(folder, office, token)
        made = Reporting(centre, agent)
        centre.receive = _listening(centre.receive, made.heard)
        watched = _watched()
        with inside(province.dc):
            await runner.setup()
            site = web.TCPSite(runner, DATA_CENTRE, PORT, ssl_context=server_context(shown))
            await site.start()
        try:
            stack.callback(agent.end)
            agent.start()
            yield made
        except BaseException:
            print(agent.log.read_text("utf-8", "replace")[-4000:])
            raise
        finally:
            await asyncio.to_thread(agent.end)
            for connection in runner.server.connections:
                if connection.transport:
                    connection.transport.abort()  # its other end may be behind a line that was cut
            await runner.cleanup()
            await until(lambda: _watched() <= watched, what="connections closed")


def _watched() -> int:
    """Return how many sockets this loop listens to."""
    return len(asyncio.get_running_loop()._selector.get_map())


def _listening(receive: Callable, heard: list[Heard]) -> Callable:
    async def listen(agent: str, body: bytes, encoding: str, *more):
        answer = await receive(agent, body, encoding, *more)
        push = msgspec.json.decode(inflate(body, encoding), type=Push)
        seqs = [msgspec.json.decode(raw)["seq"] for raw in push.batches]
        heard.append(Heard(time.monotonic(), push, seqs))
        return answer

    return listen


def _write_folder(folder: Path, lines: Sequence[Line], checks: Sequence[str]) -> None:
    made = folder / "province"
    made.mkdir(parents=True)
    (made / "province.yml").write_text(PROVINCE, "utf-8")
    (made / "sites.csv").write_text(
        "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone\n"
        f"{SITE},Xã Thử,xã,Thử,,,,,,\n",
        "utf-8",
    )
    (made / "lines.csv").write_text(
        "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor\n"
        + "".join(
            f"{SITE},,{line.name},{line.name},{'tslcd' if line.name == 'tslcd' else 'ftth'},,"
            f"{line.select},{line.source},{line.interface},{line.anchor}\n"
            for line in lines
        )
    )
    (made / "devices.csv").write_text("site,agent,device,kind,address\n")
    (made / "checks.yml").write_text(
        "checks:\n"
        + "".join(
            CHECK.format(id=f"check-{number}") + indent(check, "  ") + "\n"
            for number, check in enumerate(checks)
        ),
        "utf-8",
    )
    (folder / "collector.yml").write_text(
        f"province: province\nstate_directory: state\nproxies: [192.0.2.1]\n"
        f"listen: {{host: {DATA_CENTRE}, port: {PORT}}}\n"
    )


def _agent(folder: Path, office: Office, token: str) -> Program:
    home = folder / "agent"
    home.mkdir()
    (home / "token").write_text(token)
    (home / "agent.yml").write_text(
        f"agent: '{SITE}'\nstate_directory: state\n"
        f"collector: {{url: 'https://{HOST}:{PORT}', token_file: token, ca_file: ../ca.pem}}\n"
    )
    command = in_namespace(office.pc, *AGENT, "run", "-c", f"{home}/agent.yml")
    return Program(command, folder / "agent.log")


@contextmanager
def resolvers(province: Box, folder: Path):
    """Run the resolver of each carrier of the Internet; they know HOST."""
    with ExitStack() as stack:
        for carrier in ("vnpt", "viettel"):
            home = folder / f"unbound-{carrier}"
            home.mkdir()
            (home / "unbound.conf").write_text(
                f"server:\n  interface: {resolver(carrier)}\n  access-control: 10.0.0.0/8 allow\n"
                '  do-daemonize: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n'
                '  use-syslog: no\n  local-zone: "." static\n'
                f'  local-data: "{HOST}. 5 IN A {DATA_CENTRE}"\n'
            )
            command = [program("unbound"), "-d", "-c", str(home / "unbound.conf")]
            there = in_namespace(province.carriers[carrier], *command)
            stack.enter_context(running(there, log=home / "log"))
        yield
