"""A collector for a comparison, and a province of one commune whose checks the bench chooses."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from collector.inventory.load import load
from tests.bench.peers import wait
from tests.programs import free_port, listening, running

AGENT = "04792"
ROOT = Path(__file__).parents[2]
SITES = "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone"
LINES = "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor"
PROVINCE = {
    "name": {"vi": "Tỉnh đo", "en": "Bench province"},
    "time_zone": "Asia/Ho_Chi_Minh",
    "carriers": {"vnpt": {"name": "VNPT"}},
    "systems": {"bench": {"name": {"vi": "Đo", "en": "Bench"}, "owner": "Đo", "scope": "site"}},
    "profiles": {"fast": {"batch_seconds": 1, "silent_after_seconds": 4}},
    "default_profile": "fast",
}


@dataclass(frozen=True, slots=True)
class Centre:
    """A running collector."""

    pid: int
    url: str
    config: Path
    folder: Path

    def token(self, agent: str) -> str:
        """Make a token as the centre's operator does."""
        added = subprocess.run(
            [sys.executable, "-m", "collector", "agent", "add", "-c", str(self.config), agent],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        return added.stdout.split()[-1]

    def communes(self) -> list[str]:
        """Return agent ids that are communes' own."""
        return [agent for agent in load(self.folder).configs if agent.isdecimal()]


def write_province(folder: Path, checks: list[dict]) -> None:
    """Write a province of one commune."""
    folder.mkdir()
    (folder / "sites.csv").write_text(f"{SITES}\n{AGENT},Phường Đo,phường,Đo,,,,,,\n", "utf-8")
    (folder / "lines.csv").write_text(f"{LINES}\n")
    (folder / "devices.csv").write_text("site,agent,device,kind,address\n")
    (folder / "province.yml").write_text(yaml.safe_dump(PROVINCE, allow_unicode=True), "utf-8")
    (folder / "checks.yml").write_text(yaml.safe_dump({"checks": checks}), "utf-8")


@contextmanager
def collector(home: Path, folder: Path) -> Iterator[Centre]:
    """Run a collector with its state in `home`."""
    port = free_port()
    config = home / "collector.yml"
    config.write_text(
        f"province: {folder}\nstate_directory: centre\nlisten: {{host: 127.0.0.1, port: {port}}}\n"
    )
    command = [sys.executable, "-m", "collector", "run", "-c", str(config)]
    with running(command, log=home / "collector.log", cwd=ROOT) as child:
        wait(lambda: listening("127.0.0.1", port), "collector")
        yield Centre(child.pid, f"http://127.0.0.1:{port}", config, folder)
