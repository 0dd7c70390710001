"""A province raised: the box, the servers, the real collector, and a real agent in each office."""

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client.parser import text_string_to_metric_families

from collector.database import open_reader
from collector.diagnosis.incident import Incident
from collector.ingest.access import Access
from tests.e2e.paging import Pager, paging
from tests.e2e.province import Program
from tests.lab.box import DATA_CENTRE, INTERNET, Box, Office, box, resolver
from tests.lab.cable import Cable
from tests.lab.namespaces import in_namespace, inside, resolv_conf, sysctl
from tests.lab.province.folder import PROVINCE, Check, checks, write_folder
from tests.lab.province.plan import CENTRE, TWELVE, Place
from tests.lab.province.services import HOST, OWN_DNS, App, Service, addresses, make_services
from tests.pki import Issued, issue, make_authority
from tests.reliability.clocks import WallClock

PORT = 8443
APART_SECONDS = 1 / 300
"""Between two agents' starts, for each office there is: a whole province at once is too much."""
COLLECTOR = [
    sys.executable,
    "-c",
    (
        "from collector.inventory import compile; compile.EXTERNAL_SECONDS = 1.0;"
        "from collector.diagnosis import case, incidents;"
        "case.FLAPPING_SECONDS = 45.0; case.FLAPPING_QUIET_SECONDS = 12.0;"
        "incidents.REOPENED_SECONDS = 15.0;"
        "from collector.__main__ import main; main()"
    ),
]
"""The collector, but that the national portal of the box may be asked each few seconds; and what comes
again after a minute is another scenario, and does not flap."""
AGENT = (
    "from pathlib import Path; from agent import power;"
    "power.read_power.__defaults__ = (Path({power!r}),);"
    "from agent.__main__ import main; main()"
)
"""The agent, on a PC whose mains and battery are the test's."""


async def eventually(
    condition: Callable[[], object], *, seconds: float, what: str, every: float = 0.3
) -> None:
    """Wait for a condition that is dear to ask: it is asked seldom, and in a thread."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(every)


@dataclass(slots=True)
class Province:
    """What a test, or a person at the prompt, holds in hands."""

    folder: Path
    box: Box
    places: Sequence[Place]
    collector: Program
    pager: Pager
    trusted: ssl.SSLContext
    services: dict[str, Service] = field(default_factory=dict)
    app: App = field(default_factory=App)
    certificates: dict[str, Issued] = field(default_factory=dict)
    agents: dict[str, Program] = field(default_factory=dict)
    clocks: dict[str, WallClock] = field(default_factory=dict)
    cables: dict[str, Cable] = field(default_factory=dict)
    """By site: the line that can be spoilt."""

    def office(self, site: str) -> Office:
        """Return the office of a site."""
        return self.box.offices[[place.site for place in self.places].index(site)]

    def place(self, site: str) -> Place:
        """Return how it was planned."""
        return next(place for place in self.places if place.site == site)

    def sites_on(self, *carriers: str, alone: bool = False) -> set[str]:
        """Return the sites that have a line of a carrier; `alone`: and of no other."""
        chosen = {place.site: set(place.lines) for place in self.places}
        if alone:
            return {site for site, lines in chosen.items() if lines == set(carriers)}
        return {site for site, lines in chosen.items() if lines & set(carriers)}

    def page(self, path: str) -> str | None:
        """Return one of the collector's pages; None while it is not served."""
        try:
            with urlopen(
                f"https://{DATA_CENTRE}:{PORT}{path}", timeout=5, context=self.trusted
            ) as page:
                return page.read().decode()
        except OSError:
            return None

    def series(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and values of a live metric."""
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(self.page("/metrics/live") or "")
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def failing(self) -> list[str]:
        """Return the checks that are down, and the sites that are silent."""
        down = self.series("thongsuot_check_up") + self.series("thongsuot_line_up")
        silent = self.series("thongsuot_site_up")
        return [f"{labels}" for labels, value in down + silent if value == 0]

    def incidents(self) -> list[Incident]:
        """Return every incident that was written down, oldest first."""
        with closing(open_reader(self.folder / "state" / "state.sqlite")) as database:
            rows = database.execute("SELECT body FROM incidents ORDER BY number").fetchall()
        return [msgspec.json.decode(body, type=Incident) for (body,) in rows]

    async def well(self, seconds: float = 60.0) -> None:
        """Wait until everything is up and no incident is open."""

        def is_well() -> bool:
            for agent in self.agents.values():
                agent.running()
            heard = [value for _, value in self.series("thongsuot_site_up")]
            return (
                len(heard) == len(self.agents)
                and all(heard)
                and not self.failing()
                and all(one.closed_at is not None for one in self.incidents())
            )

        try:
            await eventually(is_well, seconds=seconds, what="all well")
        except AssertionError as exc:
            still = [(one.id, one.cause) for one in self.incidents() if one.closed_at is None]
            raise AssertionError(f"{exc}; {self.failing()}; open: {still}") from exc

    def show_logs(self) -> None:
        """Print the last words of the programs: pytest shows them beside a failure."""
        for log in (self.collector.log, *(agent.log for agent in self.agents.values())):
            if log.exists():
                print(f"--- {log.name}\n{log.read_text('utf-8', 'replace')[-1500:]}")


@asynccontextmanager
async def raised(
    folder: Path,
    places: Sequence[Place] = TWELVE,
    asked: Sequence[Check] | None = None,
    *,
    province: str = PROVINCE,
    url: str = "",
) -> AsyncIterator[Province]:
    """Raise a province, and have this thread live in its data centre; `asked`: instead of all checks.

    With `asked` only the servers that they may need are there: the portal. `province` is its
    province.yml, `url` where people find the wall.
    """
    async with AsyncExitStack() as stack:
        made = stack.enter_context(box(len(places), [place.lines for place in places]))
        addresses(made)
        stack.enter_context(inside(made.dc))
        shown, ca_file = _certificates(folder)
        services = make_services(made, folder, shown)
        if asked is not None:
            services = {
                name: services[name] for name in ("portal", "dns-own", "dns-vnpt", "dns-viettel")
            }
        ports = {}
        for name, service in services.items():
            ports[name] = _port(service.start())
            stack.callback(service.stop)
        write_folder(
            folder / "province",
            places,
            made.offices,
            checks(ca_file, ports) if asked is None else asked,
            province,
        )
        collector = _collector(folder, shown[HOST], url or f"https://{HOST}:{PORT}")
        collector.start()
        stack.callback(collector.end)
        trusted = ssl.create_default_context(cafile=str(ca_file))
        here = Province(folder, made, places, collector, Pager(), trusted, services)
        here.certificates = shown
        app = await here.app.start()
        stack.push_async_callback(app.cleanup)
        try:
            await eventually(lambda: here.page("/-/ready"), seconds=60, what="collector ready")
            _add_agents(here, ca_file)
            _lay_cables(here, stack)
            stack.callback(_end, here.agents)
            for agent in here.agents.values():
                agent.start()
                await asyncio.sleep(len(places) * APART_SECONDS)
            here.pager = await stack.enter_async_context(
                paging(folder, f"https://{DATA_CENTRE}:{PORT}", ca_file)
            )
            yield here
        except BaseException:
            here.show_logs()
            raise


def _certificates(folder: Path) -> tuple[dict[str, Issued], Path]:
    authority = make_authority("Lab CA")
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (folder / "pki").mkdir()
    hosts = (HOST, "portal.test", "tthc.test", "vc.test", "mail.test", "national.test")
    at = ("127.0.0.1", DATA_CENTRE)
    shown = {
        host: issue(folder / "pki" / host, authority, host=host, addresses=at) for host in hosts
    }
    for name, days in {"expired": (-90, -1), "future": (1, 90)}.items():
        shown[name] = issue(folder / "pki" / name, authority, host="portal.test", days=days)
    return shown, ca_file


def _port(started: object) -> int:
    for name in ("port", "imaps"):
        if hasattr(started, name):
            return int(getattr(started, name))
    return started if isinstance(started, int) else 0


def _collector(folder: Path, shown: Issued, url: str) -> Program:
    (folder / "collector.yml").write_text(
        "province: province\nstate_directory: state\n"
        f"listen: {{host: {DATA_CENTRE}, port: {PORT}}}\nurl: {url}\n"
        f"tls: {{certificate: {shown.cert}, key: {shown.key}}}\n"
        f"scrape_from: [127.0.0.0/8, {DATA_CENTRE}]\nwatch_from: [127.0.0.0/8, {DATA_CENTRE}]\n"
        + ("bridge: {secret_file: bridge.secret}\n" if (folder / "bridge.secret").exists() else "")
    )
    command = [*COLLECTOR, "run", "-c", str(folder / "collector.yml")]
    return Program(command, folder / "collector.log")


def _add_agents(here: Province, ca_file: Path) -> None:
    folder = here.folder
    (folder / "agents").mkdir()
    access = Access(folder / "state" / "access.sqlite")
    try:
        tokens = {
            agent: access.add(agent, time.time())
            for agent in (CENTRE, *(place.site for place in here.places))
        }
    finally:
        access.close()
    resolv_conf(here.box.dc, OWN_DNS)
    namespaces = {CENTRE: here.box.dc}
    for place, office in zip(here.places, here.box.offices, strict=True):
        namespaces[place.site] = office.pc
        resolv_conf(office.pc, *(resolver(line) for line in place.lines if line in INTERNET))
        with inside(office.pc):
            sysctl("ipv4/conf/all/ignore_routes_with_linkdown", "1")
    for agent, namespace in namespaces.items():
        home = folder / "agents" / agent
        home.mkdir()
        (home / "token").write_text(tokens[agent])
        (home / "agent.yml").write_text(
            f"agent: '{agent}'\nstate_directory: state\n"
            f"collector: {{url: 'https://{HOST}:{PORT}', token_file: token, ca_file: {ca_file}}}\n"
        )
        code = AGENT.format(power=str(_power(home / "power")))
        run = [sys.executable, "-c", code, "run", "-c", f"{home}/agent.yml"]
        here.agents[agent] = Program(in_namespace(namespace, *run), home / "log")
    for place in here.places:
        if place.own_clock:
            here.clocks[place.site] = WallClock(folder / "agents" / place.site)
            here.clocks[place.site].given_to(here.agents[place.site])


def _power(folder: Path) -> Path:
    """Plug a PC in: mains, and a battery that is full."""
    told = {"mains": {"type": "Mains", "online": "1"}, "ups": {"type": "UPS", "capacity": "100"}}
    for supply, files in told.items():
        (folder / supply).mkdir(parents=True)
        for name, text in files.items():
            (folder / supply / name).write_text(f"{text}\n")
    return folder


def _lay_cables(here: Province, stack: AsyncExitStack) -> None:
    for place in here.places:
        for port in place.ports:  # a stick knows nothing of the office's LAN
            rule = f"iifname {port}-lan ip daddr 10.8.0.0/16 drop"
            gateway = here.office(place.site).gateway
            stack.enter_context(here.box.filtered(gateway, rule, hook="input"))
        if place.cabled:
            office = here.office(place.site)
            here.cables[place.site] = stack.enter_context(office.cabled(place.cabled))


def _end(agents: dict[str, Program]) -> None:
    for agent in agents.values():
        if agent.process and agent.process.poll() is None:
            agent.process.kill()
    for agent in agents.values():
        agent.end()
