"""A small province of real processes: one collector, agents of communes, a portal they measure."""

import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.lab.namespaces import in_namespace, inside
from tests.pki import Issued
from tests.programs import free_port, program
from tests.waiting import until

ROOT = Path(__file__).parents[2]
AGENT = [sys.executable, "-m", "agent"]
COLLECTOR = [sys.executable, "-m", "collector"]
SITES = {"04792": "Phường Thử Một", "04813": "Xã Thử Hai", "04831": "Xã Thử Ba"}
PROVINCE = """\
name: {vi: Tỉnh Thử, en: Trial province}
time_zone: Asia/Ho_Chi_Minh
carriers:
  vnpt: {name: VNPT}
systems:
  portal: {name: {vi: Cổng thử, en: Trial portal}, owner: Nhóm thử, scope: site}
phases: {}
on_call: {}
profiles:
  fast: {profile}
default_profile: fast
"""
CHECKS = """\
checks:
  - id: portal
    name: {{vi: Cổng thử, en: Trial portal}}
    system: portal
    layer: service
    kind: http
    targets: ["{url}"]
    interval_seconds: {interval}
    timeout_seconds: 2
"""
NGINX = """\
pid nginx.pid; error_log nginx.err; master_process off; events {{ worker_connections 64; }}
http {{ access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ready"; }} }} }}
"""


@dataclass(slots=True)
class Program:
    """One process that a test starts, kills and starts again."""

    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, its output appended to the log."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
            )

    def running(self) -> bool:
        """Whether it goes on; AssertionError when it ended by itself."""
        assert self.process
        assert self.process.poll() is None, f"{self.log.stem} ended: {self.process.returncode}"
        return True

    def stop(self) -> int:
        """Ask it to end, as an orderly shutdown does; its exit status."""
        assert self.process
        self.process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End it without a word, as a power cut does."""
        assert self.process
        self.process.kill()
        self._ended()

    def end(self) -> None:
        """End it whatever its state: for the end of a test."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self._ended()
            except subprocess.TimeoutExpired:
                self.kill()

    def _ended(self) -> int:
        assert self.process
        return self.process.wait(15)


@dataclass(slots=True)
class Province:
    """What tests hold in their hands."""

    folder: Path
    url: str
    collector: Program
    portal: Program
    portal_port: int
    agents: dict[str, Program] = field(default_factory=dict)
    apart: "Apart | None" = None

    def add_agent(
        self, agent: str, *, url: str = "", more: str = "", command: Sequence[str] = tuple(AGENT)
    ) -> Program:
        """Give an agent its token and its folder; the test starts it. It is ended with the rest.

        `url` is where it finds the collector if that is not the collector itself, `more` is added
        to its agent.yml, `command` runs it.
        """
        home = self.folder / agent
        home.mkdir()
        collector = f"{self.folder}/collector.yml"
        added = subprocess.run(
            [*COLLECTOR, "agent", "add", "-c", collector, agent],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert added.returncode == 0, added.stderr
        (home / "token").write_text(added.stdout.split()[-1])
        (home / "token").chmod(0o600)
        trusted = f", ca_file: '{self.apart.ca_file}'" if self.apart else ""
        (home / "agent.yml").write_text(
            f"agent: '{agent}'\n"
            f"collector: {{url: '{url or self.url}', token_file: token{trusted}}}\n"
            f"state_directory: state\n{more}"
        )
        run = [*command, "run", "-c", f"{home}/agent.yml"]
        self.agents[agent] = Program(run, home / "agent.log")
        return self.agents[agent]

    def page(self, path: str) -> str | None:
        """Return one of the collector's pages; None while it is not served."""
        there, trusted = nullcontext(), None
        if self.apart:
            there = inside(self.apart.namespace)
            trusted = ssl.create_default_context(cafile=str(self.apart.ca_file))
        try:
            with there, urlopen(self.local_url + path, timeout=2, context=trusted) as answer:
                return answer.read().decode()
        except OSError:
            return None

    @property
    def local_url(self) -> str:
        """Where the collector is found on its own machine."""
        return f"https://127.0.0.1:{self.url.rsplit(':', 1)[1]}" if self.apart else self.url

    def series(self, name: str, page: str = "/metrics/live", **labels: str) -> list[float]:
        """Return the values that the collector shows of a metric with these labels."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.page(page) or "")
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def check_up(self, site: str) -> float | None:
        """Return what is shown of a site's check of the portal; None while nothing is."""
        return next(iter(self.series("thongsuot_check_up", site=site, check="portal")), None)

    def site_up(self, site: str) -> float | None:
        """Return what is shown of a site; None while nothing is."""
        return next(iter(self.series("thongsuot_site_up", site=site)), None)

    def show_logs(self) -> None:
        """Print the last words of every process: pytest shows them beside a failure."""
        for started in (self.portal, self.collector, *self.agents.values()):
            words = started.log.read_text("utf-8", "replace") if started.log.exists() else ""
            print(f"--- {started.log.relative_to(self.folder)}\n{words[-2000:]}")

    async def measured(self) -> None:
        """Wait until every agent has been heard and found the portal up."""
        await until(
            lambda: all(
                agent.running() and self.check_up(name) == 1 for name, agent in self.agents.items()
            ),
            seconds=30,
            what="every agent heard, the portal up",
        )

    async def ready(self) -> None:
        """Wait until the collector says that it is ready."""
        await until(lambda: self.page("/-/ready"), seconds=30, what="collector ready")


@dataclass(frozen=True, slots=True)
class More:
    """What a test adds to the files, as YAML."""

    province: str = ""
    checks: str = ""
    """Each {portal} in it is the portal's address and port."""
    collector: str = ""
    profile: str = "{batch_seconds: 1, silent_after_seconds: 4}"
    interval_seconds: float = 1
    """How often the portal is asked."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A collector on a machine of its own; it shows a certificate for `host` and for loopback."""

    namespace: str
    host: str
    ca_file: Path
    tls: Issued


@contextmanager
def province(
    folder: Path,
    *,
    agents: tuple[str, ...] = tuple(SITES),
    more: More = More(),
    apart: Apart | None = None,
) -> Iterator[Province]:
    """Write a province, start its collector, portal and agents; end them all afterwards.

    With `apart` the collector runs there, to be found under that name; the test puts agents and
    what they measure where they belong.
    """
    portal_port, port = free_port(), free_port()
    _write_folder(folder, portal_port, more)
    tls = f"tls: {{certificate: '{apart.tls.cert}', key: '{apart.tls.key}'}}\n" if apart else ""
    host, url = ("0.0.0.0", f"https://{apart.host}") if apart else ("127.0.0.1", "http://127.0.0.1")
    (folder / "collector.yml").write_text(
        f"province: province\nstate_directory: state\nlisten: {{host: {host}, port: {port}}}\n"
        f"{tls}{more.collector}"
    )
    (folder / "nginx").mkdir()
    (folder / "nginx" / "nginx.conf").write_text(NGINX.format(port=portal_port))
    nginx = [program("nginx"), "-p", f"{folder}/nginx", "-c", "nginx.conf", "-g", "daemon off;"]
    made = Province(
        folder=folder,
        url=f"{url}:{port}",
        collector=Program(
            in_namespace(
                apart.namespace if apart else "",
                *[*COLLECTOR, "run", "-c", f"{folder}/collector.yml"],
            ),
            folder / "collector.log",
        ),
        portal=Program(nginx, folder / "nginx.log"),
        portal_port=portal_port,
        apart=apart,
    )
    for agent in agents:
        made.add_agent(agent)
    try:
        for started in (made.portal, made.collector, *made.agents.values()):
            started.start()
        yield made
    except BaseException:
        made.show_logs()
        raise
    finally:
        for started in (*made.agents.values(), made.collector, made.portal):
            started.end()


def _write_folder(folder: Path, portal_port: int, more: More) -> None:
    made = folder / "province"
    made.mkdir(parents=True)
    header = "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone"
    rows = [f"{id_},{name},{name.split()[0].lower()},Thử,,,,,," for id_, name in SITES.items()]
    (made / "sites.csv").write_text("\n".join([header, *rows, ""]), "utf-8")
    (made / "lines.csv").write_text(
        "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor\n"
    )
    (made / "devices.csv").write_text("site,agent,device,kind,address\n")
    (made / "province.yml").write_text(
        PROVINCE.replace("{profile}", more.profile) + more.province, "utf-8"
    )
    checks = CHECKS.format(url=f"http://127.0.0.1:{portal_port}/", interval=more.interval_seconds)
    checks += more.checks.replace("{portal}", f"127.0.0.1:{portal_port}")
    (made / "checks.yml").write_text(checks, "utf-8")
