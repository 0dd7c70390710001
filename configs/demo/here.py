"""What the demo finds on this machine, and the files it writes from that."""

import asyncio
import shutil
import socket
from pathlib import Path
from string import Template

import yaml
from programs import StartError

from collector.inventory.model import COMMUNE_KINDS, Inventory

DEMO = Path(__file__).parent
PROVINCE = DEMO.parent / "provinces" / "phu-tho"
ROUTES = Path("/proc/net/route")
GATEWAY_FLAG = 0x2


def ports(**wanted: int) -> dict[str, int]:
    """Return the wanted ports, or free ones in place of those that are taken."""
    found = {}
    for name, port in wanted.items():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                sock.bind(("127.0.0.1", 0))
            found[name] = sock.getsockname()[1]
    return found


def gateway() -> str | None:
    """Return the address of the default router; None where there is none."""
    for line in ROUTES.read_text("ascii").splitlines()[1:]:
        _, destination, address, flags, *_ = line.split()
        if destination == "00000000" and int(flags, 16) & GATEWAY_FLAG:
            return socket.inet_ntoa(int(address, 16).to_bytes(4, "little"))
    return None


def may_ping() -> bool:
    """Whether this user may send echo requests, by either kind of socket."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return True
    return False


async def make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for localhost that is its own issuer. StartError without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise StartError("openssl is needed to make a certificate (apt install openssl)")
    process = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "30", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        *("-keyout", key, "-out", certificate),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise StartError(f"openssl could not make a certificate: {errors.decode()}")


def write_province(folder: Path, names: dict[str, str | None]) -> list[str]:
    """Copy Phú Thọ with the demo's checks in place of its own; what had to be left out, in words.

    A check that uses a name whose value is None is left out.
    """
    shutil.copytree(PROVINCE, folder)
    demo = yaml.safe_load((DEMO / "demo.yml").read_text("utf-8"))
    province = yaml.safe_load((folder / "province.yml").read_text("utf-8"))
    province["systems"] |= demo["systems"]
    del province["office_hours"]  # who tries it may do so at night
    province["default_profile"] = "fast"  # as on the day: whoever breaks something sees it at once
    checks, left_out = [], []
    for check in demo["checks"]:
        text = Template(yaml.safe_dump(check, allow_unicode=True))
        missing = [name for name in text.get_identifiers() if names[name] is None]
        if missing:
            why = "no router is known here" if may_ping() else "this user may not send pings"
            left_out.append(f"check {check['id']} is left out: {why}")
        else:
            checks.append(yaml.safe_load(text.substitute(names)))
    for name, content in (("province.yml", province), ("checks.yml", {"checks": checks})):
        (folder / name).write_text(
            yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8"
        )
    return left_out


def some_communes(inventory: Inventory, each: int) -> dict[str, str]:
    """Return agents and names of the first communes of every former province."""
    taken: dict[str, int] = {}
    chosen = {}
    for site in inventory.sites.values():
        count = taken.get(site.former_province, 0)
        if site.kind in COMMUNE_KINDS and count < each:
            taken[site.former_province] = count + 1
            chosen[site.agents[0]] = site.name
    return chosen


def write_agent(home: Path, agent: str, centre: str, certificate: Path, *, token: str) -> None:
    """Write what a technician would get: agent.yml and the token."""
    home.mkdir()
    (home / "token").touch(mode=0o600)
    (home / "token").write_text(token)
    (home / "agent.yml").write_text(
        f"agent: '{agent}'\n"
        f"collector: {{url: '{centre}', token_file: token, ca_file: '{certificate}'}}\n"
        "state_directory: state\n"
    )
