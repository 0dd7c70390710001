"""What may happen to one office: its PC, its lines, its gateway."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.lab.namespaces import in_namespace, ip, nft
from tests.lab.province.raising import Province
from tests.lab.province.registry import fault
from tests.lab.province.services import PORTAL, TTHC, unbound
from tests.programs import program, running

LIE = "10.6.6.6"
FLAP_SECONDS = 4.0
BATTERY_SECONDS = 3.0


@fault("power off", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """End a PC without a word."""
    here.agents[site].kill()
    try:
        yield
    finally:
        here.agents[site].start()


@fault("power cut", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Take the mains away: the PC goes on from its battery, says so, and is off soon."""
    mains = here.folder / "agents" / site / "power" / "mains" / "online"
    mains.write_text("0\n")
    empty = threading.Timer(BATTERY_SECONDS, here.agents[site].kill)
    empty.start()
    try:
        yield
    finally:
        empty.join()
        mains.write_text("1\n")
        here.agents[site].start()


@fault("switched off", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """End a PC in order, as at the end of the day."""
    process = here.agents[site].process
    assert process
    process.terminate()  # not waited for: many go home at once
    try:
        yield
    finally:
        process.wait(15)
        here.agents[site].start()


@fault("PC hangs", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Let a PC stand still: its kernel answers for it."""
    process = here.agents[site].process
    assert process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@fault("line dead", "site/carrier")
@contextmanager
def _(here: Province, where: str) -> Iterator[None]:
    """Let one line swallow everything; the gateway sees light on it."""
    with _line_filter(here, where):
        yield


@fault("all lines dead", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    with ExitStack() as stack:
        for carrier in here.office(site).carriers:
            stack.enter_context(_line_filter(here, f"{site}/{carrier}"))
        yield


@fault("line flaps", "site/carrier")
@contextmanager
def _(here: Province, where: str) -> Iterator[None]:
    """Let a line go and come, again and again; it is well in the end."""
    ending = threading.Event()

    def flap() -> None:
        while not ending.is_set():
            with _line_filter(here, where):
                ending.wait(FLAP_SECONDS)
            ending.wait(FLAP_SECONDS)

    with _thread(flap, ending):
        yield


@fault("line bad", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Spoil the line that is a cable: what it carries is late and uneven."""
    cable = here.cables[site]
    cable.set(both={"delay_seconds": 0.09, "jitter_seconds": 0.02})
    try:
        yield
    finally:
        cable.set(both={"delay_seconds": 0.0, "jitter_seconds": 0.0})


@fault("LAN down", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Switch the gateway off towards its LAN: the PC's port has no light."""
    gateway = here.office(site).gateway
    ip("link set lan down\n", gateway)
    try:
        yield
    finally:
        ip("link set lan up\n", gateway)


@fault("gateway silent", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    """Let the gateway hang: there is light, and nobody answers."""
    return _both_hooks(here, here.office(site).gateway, "iifname lan drop")


@fault("gateway forwards nothing", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    rules = ("iifname lan drop", "oifname lan drop")
    return here.box.filtered(here.office(site).gateway, *rules)


@fault("no names", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    """Let an office's gateway swallow questions for names."""
    rules = ("udp dport 53 ip daddr != 10.0.1.53 drop", "tcp dport 53 drop")
    return here.box.filtered(here.office(site).gateway, *rules)


@fault("portal barred", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    """Let an office's gateway bar its way to one server alone."""
    return here.box.filtered(here.office(site).gateway, f"ip daddr {PORTAL} drop")


@fault("procedures barred", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    return here.box.filtered(here.office(site).gateway, f"ip daddr {TTHC} reject")


@fault("names lie", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Have an office's gateway answer for every resolver, wrongly."""
    office = here.office(site)
    folder = here.folder / f"liar-{site}"
    with (
        unbound(folder, f"10.8.{office.number}.1", lie=LIE, namespace=office.gateway),
        _redirected(office.gateway, "udp dport 53 redirect to :53"),
    ):
        yield


@fault("captive portal", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Have an office's gateway ask for a login first: HTTP is led there, HTTPS refused.

    The agent's own way to the centre stays open: a carrier that has cut a debtor off answers all.
    """
    office = here.office(site)
    folder = here.folder / f"captive-{site}"
    site_block = "location / { return 302 http://login.test/; }"
    with ExitStack() as stack:
        folder.mkdir(exist_ok=True)
        stack.enter_context(_nginx_in(office.gateway, folder, site_block))
        stack.enter_context(_redirected(office.gateway, "tcp dport 80 redirect to :8080"))
        rules = ("iifname lan tcp dport 443 reject with tcp reset",)
        stack.enter_context(here.box.filtered(office.gateway, *rules))
        yield


@fault("large packets vanish", "site/carrier")
@contextmanager
def _(here: Province, where: str) -> Iterator[None]:
    """Narrow a line without a word about it: a black hole for large packets."""
    site, _, carrier = where.partition("/")
    office = here.office(site)
    rule = f"oifname {carrier} meta length > 1300 drop"
    back = f"iifname {carrier} meta length > 1300 drop"
    with here.box.filtered(office.gateway, rule, back):
        yield


@fault("large UDP vanishes", "site/carrier")
def _(here: Province, where: str) -> AbstractContextManager[None]:
    """Narrow a line whose router clamps TCP: pages come, large pings and pictures do not."""
    site, _, carrier = where.partition("/")
    large = "meta l4proto != tcp meta length > 1300 drop"
    rules = (f"oifname {carrier} {large}", f"iifname {carrier} {large}")
    return here.box.filtered(here.office(site).gateway, *rules)


@fault("clock wrong", "site")
@contextmanager
def _(here: Province, site: str) -> Iterator[None]:
    """Set a PC's clock three hours ahead while it runs."""
    clock = here.clocks[site]
    clock.set(3 * 3600)
    try:
        yield
    finally:
        clock.set(0)


# How


def _line_filter(here: Province, where: str) -> AbstractContextManager[None]:
    site, _, carrier = where.partition("/")
    return _both_hooks(
        here, here.office(site).gateway, f"iifname {carrier} drop", f"oifname {carrier} drop"
    )


@contextmanager
def _both_hooks(here: Province, namespace: str, *rules: str) -> Iterator[None]:
    with ExitStack() as stack:
        for hook in ("forward", "input"):
            stack.enter_context(here.box.filtered(namespace, *rules, hook=hook))
        yield


@contextmanager
def _redirected(gateway: str, rule: str) -> Iterator[None]:
    chain = f"type nat hook prerouting priority -100\n iifname lan {rule}"
    nft(f"table ip led {{\n chain c {{\n {chain}\n }}\n}}\n", gateway)
    try:
        yield
    finally:
        nft("delete table ip led\n", gateway)


@contextmanager
def _nginx_in(namespace: str, folder: Path, site: str) -> Iterator[None]:
    scratch = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; pid {folder}/pid; error_log {folder}/err; worker_processes 1;\n"
        "events { worker_connections 64; }\nhttp { access_log off;\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in scratch)
        + f"server {{ listen 8080; {site} }} }}\n"
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(in_namespace(namespace, *command), log=folder / "log"):
        yield


@contextmanager
def _thread(run: Callable[[], None], ending: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
