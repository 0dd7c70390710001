"""`make demo`: a province on this machine, with real agents that measure what is really here.

Starts the collector with the Phú Thọ folder, a small portal, one agent for each of six communes,
and, where they are installed, Prometheus and Alertmanager. Ctrl-C ends all of it. No root needed.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path

import alerting
import here
from aiohttp import ClientError, ClientSession
from pager import Pager
from programs import Programs, StartError

from collector.inventory.load import FolderError, load

ROOT = Path(__file__).parents[2]
HOME = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".demo"
CERTIFICATE = HOME / "cert.pem"
COMMUNES_PER_FORMER_PROVINCE = 2
PATIENCE_SECONDS = 30.0


def main() -> int:
    """Run until told to stop; 0 after an orderly end, 1 when it could not start."""
    HOME.mkdir(exist_ok=True)
    lock = os.open(HOME, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("a demo is running already in this folder", file=sys.stderr)
        return 1
    _empty(HOME)  # of what a demo that was killed left behind
    try:
        asyncio.run(_until_told())
    except (StartError, FolderError) as exc:
        print(exc, file=sys.stderr)
        return 1
    finally:
        _empty(HOME)
        HOME.rmdir()
        os.close(lock)
    return 0


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


async def _until_told() -> None:
    loop = asyncio.get_running_loop()
    programs = Programs(ROOT, HOME)
    running = asyncio.create_task(_run(programs))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        print("\nstopping")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: print("stopping already"))
        await programs.stop()


async def _run(programs: Programs) -> None:
    ports = here.ports(centre=8443, portal=8480, prometheus=9090, alertmanager=9093)
    centre = f"https://localhost:{ports['centre']}"
    await here.make_certificate(CERTIFICATE, HOME / "key.pem")
    left_out = here.write_province(
        HOME / "phu-tho",
        {
            "loopback": "127.0.0.1" if here.may_ping() else None,
            "gateway": here.gateway() if here.may_ping() else None,
            "centre": centre,
            "ca": str(CERTIFICATE),
            "portal": f"http://127.0.0.1:{ports['portal']}/",
        },
    )
    for line in left_out:
        print(line)
    inventory = load(HOME / "phu-tho")
    communes = here.some_communes(inventory, COMMUNES_PER_FORMER_PROVINCE)

    collector = [sys.executable, "-m", "collector"]
    config = HOME / "collector.yml"
    config.write_text(
        f"province: phu-tho\nstate_directory: state\nurl: {centre}\n"
        f"listen: {{host: 127.0.0.1, port: {ports['centre']}}}\n"
        "tls: {certificate: cert.pem, key: key.pem}\n"
    )
    await programs.start(
        "portal", [sys.executable, f"{Path(__file__).parent}/portal.py", str(ports["portal"])]
    )
    await programs.start("collector", [*collector, "run", "-c", str(config)])
    await _ready(programs, centre)
    for agent in communes:
        added = await programs.ask([*collector, "agent", "add", "-c", str(config), agent])
        here.write_agent(HOME / agent, agent, centre, CERTIFICATE, token=added.split()[-1])
        await programs.start(
            agent, [sys.executable, "-m", "agent", "run", "-c", f"{HOME}/{agent}/agent.yml"]
        )
    async with Pager() as pager:
        paging = await _paging(programs, centre, ports, pager.url)
        _say(programs, communes, centre, ports, len(inventory.sites), paging=paging)
        await programs.watch()


async def _ready(programs: Programs, centre: str) -> None:
    """Wait until the collector is ready. StartError with its last words when it is not."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), ClientSession() as session:
            while programs.running("collector"):
                with suppress(ClientError):
                    async with session.get(f"{centre}/-/ready", ssl=context) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
    raise StartError(f"the collector did not get ready:\n{programs.last_words('collector')}")


async def _paging(programs: Programs, centre: str, ports: dict[str, int], webhook: str) -> bool:
    """Start the programs of the alert path; whether they are there."""
    missing = [
        name for name in (alerting.PROMETHEUS, alerting.ALERTMANAGER) if not shutil.which(name)
    ]
    if missing:
        print(
            f"no paging here: {', '.join(missing)} not installed (apt install {' '.join(missing)})"
        )
        return False
    await programs.start(
        "alertmanager",
        alerting.alertmanager(HOME / "alertmanager", webhook=webhook, port=ports["alertmanager"]),
    )
    await programs.start(
        "prometheus",
        alerting.prometheus(
            HOME / "prometheus",
            collector=centre,
            alertmanager=f"127.0.0.1:{ports['alertmanager']}",
            port=ports["prometheus"],
            ca_file=CERTIFICATE,
        ),
    )
    return True


def _say(
    programs: Programs,
    communes: dict[str, str],
    centre: str,
    ports: dict[str, int],
    sites: int,
    *,
    paging: bool,
) -> None:
    cut, off, *_ = communes
    portal = f"{_short(Path(sys.executable))} configs/demo/portal.py {ports['portal']}"
    lines = [
        f"\nPhú Thọ: {sites} sites, {len(communes)} of them with a real agent on this machine.\n",
        f"  wall           {centre}/  (the browser warns: its certificate was made just now)",
        f"  metrics        curl --cacert {_short(CERTIFICATE)} {centre}/metrics/live",
    ]
    if paging:
        lines += [
            f"  Prometheus     http://localhost:{ports['prometheus']}/alerts",
            f"  Alertmanager   http://localhost:{ports['alertmanager']}/",
        ]
    lines += [
        f"  logs           {_short(HOME / 'logs')}/",
        "\nTry next, in another terminal, and watch the wall"
        + (" and the pages below:" if paging else ":"),
        f"  stop the portal          kill {programs.pid('portal')}",
        f"  start it again           {portal}",
        f"  a PC loses its power     kill -9 {programs.pid(cut)}   ({communes[cut]})",
        f"  a PC is switched off     kill {programs.pid(off)}   ({communes[off]}: says bye, nobody is paged)",
        "\nCtrl-C ends everything.\n",
    ]
    print("\n".join(lines), flush=True)


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
