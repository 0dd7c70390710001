"""What may happen to a province in a box, by name; each has a place to happen at, and is healed.

    faults = Faults(province)
    faults.inject("carrier cut", "vnpt")
    faults.inject("power off", "00006")
    faults.heal("power off", "00006")

A fault is a context manager: entered it is there, left it is healed. They wait for what they do,
so an event loop calls `inject` and `heal` through a thread, one call at a time.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.lab.namespaces import ip
from tests.lab.province import office_faults  # noqa: F401 - enters its own in FAULTS
from tests.lab.province.raising import Province
from tests.lab.province.registry import FAULTS, fault
from tests.lab.province.services import MAIL, PORTAL, REFLECTOR, VC, lying_clock
from tests.lab.servers.nginx import nginx


class Faults:
    """Those that are there at present."""

    def __init__(self, province: Province) -> None:
        self._province = province
        self._there: dict[tuple[str, str], ExitStack] = {}

    @property
    def there(self) -> list[tuple[str, str]]:
        """Names and places, oldest first."""
        return list(self._there)

    def inject(self, name: str, where: str = "") -> None:
        """Put one in; KeyError when there is no such fault."""
        _, make = FAULTS[name]
        stack = ExitStack()
        stack.enter_context(make(self._province, where))
        self._there[name, where] = stack

    def heal(self, name: str, where: str = "") -> None:
        """Take one away; KeyError when it is not there."""
        self._there.pop((name, where)).close()

    def heal_all(self) -> None:
        """Take all away, the newest first."""
        for name, where in reversed(self.there):
            self.heal(name, where)


# Carriers and the core


@fault("carrier cut", "carrier, or site/carrier")
@contextmanager
def _(here: Province, where: str) -> Iterator[None]:
    """Let a carrier swallow everything, or the fibre of one of its customers break."""
    site, _, carrier = where.rpartition("/")
    with here.office(site).unplugged(carrier) if site else here.box.dead(carrier):
        yield


@fault("carrier cut from the core", "carrier")
def _(here: Province, carrier: str) -> AbstractContextManager[None]:
    return here.box.cut_off(carrier)


@fault("carrier's resolver dead", "carrier")
def _(here: Province, carrier: str) -> AbstractContextManager[None]:
    return here.services[f"dns-{carrier}"].stopped()


@fault("centre cut off", "")
@contextmanager
def _(here: Province, _: str) -> Iterator[None]:
    """Pull the data centre's own line: it lives, and hears nobody."""
    ip("link set dc down\n", here.box.core)
    try:
        yield
    finally:
        ip("link set dc up\n", here.box.core)


@fault("collector killed", "")
@contextmanager
def _(here: Province, _: str) -> Iterator[None]:
    """End the collector without a word, and start it again at once: there is nothing to heal."""
    here.collector.kill()
    here.collector.start()
    yield


# Servers


@fault("portal stopped", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.services["portal"].stopped()


@fault("portal shows a certificate", "expired or future")
def _(here: Province, which: str) -> AbstractContextManager[None]:
    shown = here.certificates[which]
    page = 'location / { return 200 "Cổng thông tin"; }'
    folder = here.folder / f"portal-{which}"
    return here.services["portal"].replaced(
        lambda: nginx(folder, page, address=PORTAL, port=443, shown=shown)
    )


@fault("procedures slow", "seconds")
def _(here: Province, seconds: str) -> AbstractContextManager[None]:
    return here.app.being(delay_seconds=float(seconds))


@fault("procedures fail", "status")
def _(here: Province, status: str) -> AbstractContextManager[None]:
    return here.app.being(status=int(status))


@fault("bridge dead", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.box.filtered(here.box.dc, f"ip daddr {VC} drop", hook="input")


@fault("conference spoilt", "site")
def _(here: Province, site: str) -> AbstractContextManager[None]:
    """Lose a fifth of what an office sends to the bridge as sound."""
    rule = f"udp dport {REFLECTOR} numgen random mod 100 < 20 drop"
    return here.box.filtered(here.office(site).gateway, rule)


@fault("mail dead", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.box.filtered(here.box.dc, f"ip daddr {MAIL} drop", hook="input")


@fault("national portal down", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.services["national"].stopped()


@fault("resolver of the province dead", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.services["dns"].stopped()


@fault("time server dead", "")
def _(here: Province, _: str) -> AbstractContextManager[None]:
    return here.services["time"].stopped()


@fault("time server lies", "seconds")
def _(here: Province, seconds: str) -> AbstractContextManager[None]:
    return here.services["time"].replaced(lambda: lying_clock(float(seconds)))
