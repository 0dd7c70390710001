"""A real Prometheus and a real Alertmanager with the shipped files, and a pager that records."""

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from configs.demo import alerting
from tests.programs import free_port, listening, program, running
from tests.waiting import until

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One alert in one of Alertmanager's posts."""

    at: float
    """Monotonic seconds."""
    receiver: str
    status: str
    """firing or resolved."""
    labels: Labels
    annotations: Labels


@dataclass(slots=True)
class Pager:
    """What stands behind every receiver: it writes down who was called, when and why."""

    calls: list[Call] = field(default_factory=list)

    def of(self, receiver: str = "", **labels: str) -> list[Call]:
        """Return the calls about alerts with these labels: a receiver's, or all people's."""
        return [
            call
            for call in self.calls
            if (call.receiver == receiver if receiver else call.receiver != "deadman")
            and labels.items() <= call.labels.items()
        ]

    async def answer(self, request: web.Request) -> web.Response:
        """Take a post of Alertmanager."""
        at = time.monotonic()
        body = await request.json()
        self.calls += [
            Call(at, request.path[1:], alert["status"], alert["labels"], alert["annotations"])
            for alert in body["alerts"]
        ]
        return web.Response()


@asynccontextmanager
async def paging(folder: Path, collector: str, ca_file: Path | None = None) -> AsyncIterator[Pager]:
    """Run both programs against a collector's URL until the block ends."""
    pager = Pager()
    app = web.Application()
    app.router.add_post("/{receiver}", pager.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook = f"http://127.0.0.1:{runner.addresses[0][1]}"
    manager_port, prometheus_port = free_port(), free_port()
    manager = alerting.alertmanager(folder / "alertmanager", webhook=webhook, port=manager_port)
    prometheus = alerting.prometheus(
        folder / "prometheus",
        collector=collector,
        alertmanager=f"127.0.0.1:{manager_port}",
        port=prometheus_port,
        ca_file=ca_file,
    )
    try:
        with ExitStack() as stack:
            for command, port in ((manager, manager_port), (prometheus, prometheus_port)):
                command[0] = program(command[0])
                log = folder / f"{Path(command[0]).name}.log"
                stack.enter_context(running(command, log=log))
                await until(
                    lambda port=port: listening("127.0.0.1", port),
                    seconds=20,
                    what=f"{command[0]} up",
                )
            # The first alerts are sent before Prometheus knows its Alertmanager; from the
            # watchdog's first call on the way is open.
            await until(lambda: pager.of("deadman"), seconds=20, what="the watchdog's first call")
            yield pager
    finally:
        await runner.cleanup()


def incidents(pager: Pager, cause: str = "") -> list[Call]:
    """Return the calls about incidents, of one cause or of any, whoever was called.

    Those beside the first page (escalated, reassigned) are not among them.
    """
    return [
        call
        for call in pager.of(alertname="ThongSuotIncident")
        if cause in {"", call.annotations["cause"]}
    ]


def all_closed(pager: Pager) -> bool:
    """Whether every incident that was paged was closed as well."""
    ends: dict[str, list[str]] = {}
    for call in incidents(pager):
        ends.setdefault(call.labels["id"], []).append(call.status)
    return all(statuses == ["firing", "resolved"] for statuses in ends.values())


async def quiet(seconds: float) -> None:
    """Let time pass in which nothing may happen."""
    deadline = time.monotonic() + seconds
    await until(lambda: time.monotonic() > deadline, seconds=seconds + 5)
