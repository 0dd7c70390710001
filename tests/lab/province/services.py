"""What stands in the data centre and beyond: real servers, which may be stopped and started."""

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.lab.box import DATA_CENTRE, INTERNET, TSLCD_ONLY, Box, number_of, resolver
from tests.lab.namespaces import in_namespace, inside, ip
from tests.lab.servers.chrony import chrony
from tests.lab.servers.coturn import coturn
from tests.lab.servers.kamailio import kamailio
from tests.lab.servers.mail import dovecot
from tests.lab.servers.nginx import nginx
from tests.pki import Issued
from tests.programs import listening, program, running
from tests.waiting import until_sync

HOST = "centre.test"
OWN_DNS = "10.0.1.54"
"""The data centre's PCs ask this one: the province's may be dead."""
DNS, PORTAL, TTHC, PAGE, VC, MAIL, TIME = (
    f"10.0.1.{last}" for last in (53, 20, 21, 22, 23, 24, 25)
)
NATIONAL = "10.0.3.10"
"""Behind the core, not in the data centre: nobody of the province runs it."""
NAMES = {
    HOST: DATA_CENTRE,
    "portal.test": PORTAL,
    "stable.test": PORTAL,
    "tthc.test": TTHC,
    "page.test": PAGE,
    "vc.test": VC,
    "mail.test": MAIL,
    "time.test": TIME,
    "national.test": NATIONAL,
}
APP_PORT, REFLECTOR = 8081, 20000
NTP_EPOCH = 2_208_988_800


class Service:
    """A server in a namespace."""

    def __init__(self, namespace: str, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._namespace = namespace
        self._make = make
        self._stack = ExitStack()

    def start(self) -> Any:
        """Start it; what it is found by is returned when it answers."""
        with inside(self._namespace):
            return self._stack.enter_context(self._make())

    def stop(self) -> None:
        """End it."""
        self._stack.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it away for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def replaced(self, make: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
        """Have another one in its place for a while."""
        with self.stopped():
            other = Service(self._namespace, make)
            other.start()
            try:
                yield
            finally:
                other.stop()


class App:
    """What stands behind the nginx of the procedure system: as slow and as well as it is told."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        """Answer anything."""
        await asyncio.sleep(self.delay_seconds)
        return web.Response(status=self.status, text="Giải quyết thủ tục hành chính")

    @contextmanager
    def being(self, **how: float) -> Iterator[None]:
        """Be `delay_seconds` slow, or answer with `status`, for a while."""
        before = {name: getattr(self, name) for name in how}
        for name, value in how.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    async def start(self) -> web.AppRunner:
        """Listen on loopback, where this thread is."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", APP_PORT).start()
        return runner


def anchor(carrier: str) -> str:
    """Return an address deep in a carrier's network: no office is joined to it at once."""
    return f"10.11{number_of(carrier)}.0.1"


def addresses(box: Box) -> None:
    """Give the data centre, the carriers and the world beyond their addresses."""
    for carrier, there in box.carriers.items():
        ip(f"addr add {anchor(carrier)}/32 dev lo\n", there)
        ip(f"route add {anchor(carrier)}/32 via 10.9.{number_of(carrier)}.2\n", box.core)
    added = (OWN_DNS, DNS, PORTAL, TTHC, PAGE, VC, MAIL, TIME)
    ip("".join(f"addr add {address}/24 dev core\n" for address in added), box.dc)
    ip(f"addr add {NATIONAL}/32 dev lo\n", box.core)


def make_services(box: Box, folder: Path, shown: dict[str, Issued]) -> dict[str, Service]:
    """Return the servers by name, not started; `shown`: certificates by host."""
    page = 'location / { return 200 "Cổng thông tin"; }'
    app = f"location / {{ proxy_pass http://127.0.0.1:{APP_PORT}; }}"
    ready = "location / { return 204; }"

    def web_server(name: str, site: str, address: str, host: str = "") -> Callable:
        issued = shown.get(host)
        port = 443 if issued else 80
        return lambda: nginx(folder / name, site, address=address, port=port, shown=issued)

    services = {
        "portal": Service(box.dc, web_server("portal", page, PORTAL, "portal.test")),
        "tthc": Service(box.dc, web_server("tthc", app, TTHC, "tthc.test")),
        "page": Service(box.dc, web_server("page", ready, PAGE)),
        "tslcd": Service(box.dc, web_server("tslcd", page, TSLCD_ONLY, "portal.test")),
        "national": Service(box.core, web_server("national", page, NATIONAL, "national.test")),
        "dns": Service(box.dc, lambda: unbound(folder / "unbound-dc", DNS)),
        "dns-own": Service(box.dc, lambda: unbound(folder / "unbound-own", OWN_DNS)),
        "time": Service(box.dc, lambda: chrony(folder / "chrony", host=TIME, port=123)),
        "sip": Service(box.dc, lambda: kamailio(folder / "sip", shown["vc.test"], address=VC)),
        "stun": Service(box.dc, lambda: coturn(folder / "stun", address=VC)),
        "imaps": Service(box.dc, lambda: dovecot(folder, shown["mail.test"], address=MAIL)),
    }
    services["reflector"] = Service(box.dc, lambda: reflector(folder))
    for carrier in INTERNET:
        there, address = box.carriers[carrier], resolver(carrier)
        services[f"dns-{carrier}"] = Service(
            there, lambda name=f"unbound-{carrier}", at=address: unbound(folder / name, at)
        )
    return services


@contextmanager
def reflector(folder: Path) -> Iterator[None]:
    """Run what media tests are sent to, beside the bridge."""
    (folder / "bridge.secret").write_text("0123456789abcdef" * 4)
    listen = f"listen: {{host: {VC}, port: {REFLECTOR}}}"
    (folder / "reflector.yml").write_text(f"secret_file: bridge.secret\n{listen}\n")
    command = [sys.executable, "-m", "collector", "reflector", "-c", f"{folder}/reflector.yml"]
    with running(command, log=folder / "reflector.log"):
        yield


@contextmanager
def unbound(folder: Path, address: str, *, lie: str = "", namespace: str = "") -> Iterator[None]:
    """Run a resolver that knows NAMES, or answers everything with an address that is a lie."""
    folder.mkdir(exist_ok=True)
    zone = '  local-zone: "." static\n' + "".join(
        f'  local-data: "{name}. 5 IN A {at}"\n' for name, at in NAMES.items()
    )
    if lie:
        zone = f'  local-zone: "test." redirect\n  local-data: "test. 5 IN A {lie}"\n'
    (folder / "unbound.conf").write_text(
        f"server:\n  interface: {address}\n  access-control: 0.0.0.0/0 allow\n"
        '  do-daemonize: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n  use-syslog: no\n'
        f"  num-threads: 1\n{zone}"
    )
    command = [program("unbound"), "-d", "-c", str(folder / "unbound.conf")]
    with running(in_namespace(namespace, *command), log=folder / "log"):
        with inside(namespace) if namespace else nullcontext():
            until_sync(lambda: listening(address, 53), seconds=10, what="unbound listens")
        yield


@contextmanager
def lying_clock(ahead_seconds: float) -> Iterator[None]:
    """Answer as a good time server would, but with another time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((TIME, 123))
        sock.settimeout(0.2)
        ending = threading.Event()
        thread = threading.Thread(target=_lie, args=(sock, ahead_seconds, ending))
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


def _lie(sock: socket.socket, ahead_seconds: float, ending: threading.Event) -> None:
    while not ending.is_set():
        try:
            asked, peer = sock.recvfrom(1024)
        except TimeoutError:
            continue
        now = int((time.time() + ahead_seconds + NTP_EPOCH) * 2**32)
        head = struct.pack("!BBbbIII", 0x24, 1, 6, -20, 16, 16, 0x4C4F434C)
        sock.sendto(head + struct.pack("!Q8sQQ", now, asked[40:48], now, now), peer)
