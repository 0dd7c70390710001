"""Acknowledging with a real Prometheus and a real Alertmanager: reminders end, closes get out."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from collector.duty.acts import Act
from configs.demo import alerting
from tests.collector.inventory import folders
from tests.collector.served import AGENT, Served, served
from tests.programs import free_port, listening, program, running
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPEAT_SECONDS = 4.0
PROVINCE = folders.FILES["province.yml"].replace("default_profile: calm", "default_profile: fast")


@dataclass(slots=True)
class Paged:
    """A collector, what pages for it, and who was called."""

    collector: Served
    manager: str
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    """Time, receiver and status of each alert about an incident."""

    @property
    def statuses(self) -> list[str]:
        """What came, in order."""
        return [status for _, _, status in self.calls]

    async def take(self, request: web.Request) -> web.Response:
        """Take a post of Alertmanager."""
        body = await request.json()
        self.calls += [
            (time.monotonic(), request.path[1:], alert["status"])
            for alert in body["alerts"]
            if "id" in alert["labels"]
        ]
        return web.Response()

    async def silences(self) -> list[str]:
        """Return the states of all silences Alertmanager has."""
        async with self.collector.session.get(
            f"{self.manager}/api/v2/silences", headers={"Accept-Encoding": "identity"}
        ) as answer:
            found = json.loads(await answer.read())
            return sorted(one["status"]["state"] for one in found)

    async def silenced(self) -> None:
        """Wait until one is in force."""
        async with asyncio.timeout(10):
            while "active" not in await self.silences():  # noqa: ASYNC110 - another program's
                await asyncio.sleep(0.05)


@asynccontextmanager
async def paged(home: Path) -> AsyncIterator[Paged]:
    """Run all of it, with the shipped files; only reminders come sooner."""
    folders.write(home, {**folders.FILES, "province.yml": PROVINCE})
    manager_port, prometheus_port = free_port(), free_port()
    manager_url = f"http://127.0.0.1:{manager_port}"
    async with served(home, more=f"alertmanagers: ['{manager_url}']\n") as here:
        paged = Paged(here, manager_url)
        app = web.Application()
        app.router.add_post("/{receiver}", paged.take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhook = f"http://127.0.0.1:{runner.addresses[0][1]}"
        manager = alerting.alertmanager(home / "am", webhook=webhook, port=manager_port)
        file = home / "am" / "alertmanager.yml"
        config = yaml.safe_load(file.read_text("utf-8"))
        config["route"]["repeat_interval"] = f"{REPEAT_SECONDS:g}s"
        file.write_text(yaml.safe_dump(config), "utf-8")
        prometheus = alerting.prometheus(
            home / "prometheus",
            collector=here.url,
            alertmanager=f"127.0.0.1:{manager_port}",
            port=prometheus_port,
        )
        with ExitStack() as stack:
            for command, port in ((manager, manager_port), (prometheus, prometheus_port)):
                command[0] = program(command[0])
                log = home / f"{Path(command[0]).name}.log"
                stack.enter_context(running(command, log=log))
                await until(lambda port=port: listening("127.0.0.1", port), seconds=20)
            yield paged
        await runner.cleanup()


async def beating(here: Served, stop: asyncio.Event) -> None:
    """Push a heartbeat each half second until told to stop."""
    while not stop.is_set():
        await here.push(agent=AGENT)
        await asyncio.sleep(0.5)


def the_act(here: Served, kind: str) -> Act:
    """Return an act on the only open incident."""
    (identity,) = here.centre.incidents.open
    return Act(incident=identity, at=time.time(), kind=kind, who="Hùng")


async def test_an_acknowledged_page_reminds_nobody_and_closes_once(tmp_path):
    """Reminders come, end with the acknowledgement, come again when it is taken back; one close."""
    async with paged(tmp_path) as it:
        here, centre = it.collector, it.collector.centre
        await here.push(agent=AGENT)
        await until(lambda: it.statuses.count("firing") >= 2, seconds=40, what="a reminder")
        (incident,) = centre.incidents.open.values()
        await centre.duty.do(the_act(here, "acknowledged"), incident)
        await until(lambda: centre.silencer.problem == "", what="no problem")
        await it.silenced()
        seen, began = len(it.calls), time.monotonic()

        await until(lambda: time.monotonic() > began + 2.5 * REPEAT_SECONDS, seconds=15)
        assert len(it.calls) == seen

        await centre.duty.do(the_act(here, "taken_back"), incident)
        await until(lambda: len(it.calls) > seen, seconds=10, what="a reminder again")
        await centre.duty.do(the_act(here, "acknowledged"), incident)
        await it.silenced()
        assert "resolved" not in it.statuses
        stop = asyncio.Event()
        beats = asyncio.create_task(beating(here, stop))
        await until(lambda: "resolved" in it.statuses, seconds=20, what="the close")
        await until(lambda: not centre.incidents.open, what="closed")
        ended = time.monotonic()
        await until(
            lambda: time.monotonic() > ended + 12, seconds=15
        )  # two of Prometheus's resends
        stop.set()
        await beats

        assert it.statuses.count("resolved") == 1
        assert it.statuses[-1] == "resolved"
        assert "active" not in await it.silences()


async def test_a_close_gets_out_though_the_silence_outlives_it(tmp_path):
    """Our word to end it comes late: the close is owed, and sent with what Prometheus repeats."""
    async with paged(tmp_path) as it:
        here, centre = it.collector, it.collector.centre
        await here.push(agent=AGENT)
        await until(lambda: "firing" in it.statuses, seconds=40, what="the page")
        (incident,) = centre.incidents.open.values()
        await centre.duty.do(the_act(here, "acknowledged"), incident)
        await it.silenced()
        right = centre.silencer._urls[:]
        centre.silencer._urls[:] = [f"http://127.0.0.1:{free_port()}"]
        stop = asyncio.Event()
        beats = asyncio.create_task(beating(here, stop))
        await until(lambda: not centre.incidents.open, seconds=10, what="closed")
        ended = time.monotonic()
        await until(lambda: time.monotonic() > ended + 8, seconds=15)
        assert "resolved" not in it.statuses
        assert centre.silencer.problem.startswith("http://127.0.0.1:")

        centre.silencer._urls[:] = right
        await until(lambda: "resolved" in it.statuses, seconds=20, what="the close")
        stop.set()
        await beats

        assert it.statuses.count("resolved") == 1
        assert centre.silencer.problem == ""
