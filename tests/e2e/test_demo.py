"""`make demo` as a new user runs it, on a machine of its own: a namespace with a router."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import program, root, running
from tests.waiting import until_sync

pytestmark = [pytest.mark.real, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "demo" / "demo.py"
GATEWAY, HERE = "192.0.2.1", "192.0.2.2"
UNBOUND = f"""\
server:
  interface: {GATEWAY}
  access-control: 192.0.2.0/24 allow
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "example.com." static
  local-data: "example.com. 60 IN A 192.0.2.80"
remote-control:
  control-enable: no
"""


def ip(*arguments: str) -> None:
    """Run ip; CalledProcessError when it refuses."""
    subprocess.run([program("ip"), *arguments], check=True)


@pytest.fixture
def machine(tmp_path) -> Iterator[str]:
    """Give a namespace with loopback, a router and that router's resolver, and nothing else."""
    root()
    unbound = program("unbound")
    name, router = f"demo{os.getpid()}", f"demo{os.getpid()}-gw"
    resolv = Path("/etc/netns") / name
    try:
        for namespace in (name, router):
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        ip("link", "add", "lan", "netns", name, "type", "veth", "peer", "lan", "netns", router)
        for namespace, address in ((name, HERE), (router, GATEWAY)):
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", "lan")
            ip("-n", namespace, "link", "set", "lan", "up")
        ip("-n", name, "route", "add", "default", "via", GATEWAY)
        resolv.mkdir(parents=True)
        (resolv / "resolv.conf").write_text(f"nameserver {GATEWAY}\n")
        (tmp_path / "unbound.conf").write_text(UNBOUND)
        command = ["ip", "netns", "exec", router, unbound, "-c", f"{tmp_path}/unbound.conf"]
        with running(command, log=tmp_path / "unbound.log"):
            yield name
    finally:
        for namespace in (name, router):
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        if resolv.exists():
            (resolv / "resolv.conf").unlink(missing_ok=True)
            resolv.rmdir()


def pids(machine: str) -> list[int]:
    """Return the processes that live in a namespace."""
    shown = subprocess.run(["ip", "netns", "pids", machine], check=True, capture_output=True)
    return [int(pid) for pid in shown.stdout.split()]


class Demo:
    """A running demo and what it has said so far."""

    def __init__(self, machine: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.machine = machine
        self.process = process
        self._log = log

    def said(self) -> str:
        """Return the terminal's text."""
        return self._log.read_text("utf-8")

    def find(self, pattern: str) -> str:
        """Return the group of a pattern in what was said; "" while it is not there."""
        found = re.search(pattern, self.said())
        return found[1] if found else ""

    def live(self) -> str:
        """Return the page that the demo's own hint fetches; "" when it is not served."""
        command = self.find(r"metrics +curl (.*)")
        certificate, url = re.fullmatch(r"--cacert (\S+) (\S+)", command).groups()
        script = (
            "import ssl, sys, urllib.request; print(urllib.request.urlopen(sys.argv[2], timeout=3, "
            "context=ssl.create_default_context(cafile=sys.argv[1])).read().decode())"
        )
        shown = subprocess.run(
            ["ip", "netns", "exec", self.machine, sys.executable, "-c", script, certificate, url],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        return shown.stdout

    def up(self, check: str) -> list[str]:
        """Return the values of a check, one for each commune that reports it."""
        return re.findall(rf'thongsuot_check_up{{[^}}]*check="{check}"[^}}]*}} (\d)', self.live())

    def tell(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def demo(machine: str, folder: Path, **environment: str) -> Iterator[Demo]:
    """Run the demo until its last hint is on the terminal; killed with all it has if it hangs."""
    command = ["ip", "netns", "exec", machine, sys.executable, DEMO, folder / "home"]
    log = folder / "demo.log"
    with running(
        command, log=log, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment
    ) as process:
        started = Demo(machine, process, log)
        try:
            until_sync(
                lambda: started.find("(Ctrl-C ends everything)") or process.poll() is not None,
                seconds=60,
                what="the demo's hints",
            )
            assert process.poll() is None, started.said()
            yield started
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
            for pid in pids(machine):
                os.kill(pid, signal.SIGKILL)


def test_the_demo_shows_a_fault_and_leaves_nothing_behind(machine, tmp_path):
    """Everything is measured and up; the portal is stopped, seen and paged; Ctrl-C ends it all."""
    program("prometheus")
    program("prometheus-alertmanager")
    begun = time.monotonic()
    with demo(machine, tmp_path) as shown:
        print(f"ready for the user: {time.monotonic() - begun:.1f} s")
        for check in ("loopback", "gateway", "resolver", "centre", "portal"):
            until_sync(
                lambda check=check: shown.up(check) == ["1"] * 6, seconds=40, what=f"{check} up"
            )
        print(f"everything measured: {time.monotonic() - begun:.1f} s")

        begun = time.monotonic()
        os.kill(int(shown.find(r"stop the portal +kill (\d+)")), signal.SIGTERM)
        until_sync(lambda: shown.up("portal") == ["0"] * 6, seconds=20, what="portal seen down")
        print(f"portal seen down by all: {time.monotonic() - begun:.1f} s")
        assert "thongsuot_incident{" in shown.live()
        until_sync(lambda: shown.find("oncall: (MỞ) "), seconds=30, what="the page on the terminal")
        print(f"paged: {time.monotonic() - begun:.1f} s")

        begun = time.monotonic()
        assert shown.tell(signal.SIGINT) == 0, shown.said()
        print(f"stopped: {time.monotonic() - begun:.1f} s")
        assert pids(machine) == []
        assert not (tmp_path / "home").exists()


def test_without_prometheus_the_demo_says_so_and_goes_on(machine, tmp_path):
    """Absent programs cost one line; the wall is there all the same."""
    (tmp_path / "bin").mkdir()
    for name in ("ip", "openssl"):
        (tmp_path / "bin" / name).symlink_to(program(name))

    with demo(machine, tmp_path, PATH=str(tmp_path / "bin")) as shown:
        assert (
            "no paging here: prometheus, prometheus-alertmanager not installed "
            "(apt install prometheus prometheus-alertmanager)"
        ) in shown.said()
        until_sync(lambda: shown.up("portal") == ["1"] * 6, seconds=40, what="portal up")

        assert shown.tell(signal.SIGTERM) == 0, shown.said()
        assert pids(machine) == []
