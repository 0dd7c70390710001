"""Duty within a running collector: what Prometheus is told, and what a backup holds."""

import asyncio
import re
import time
from datetime import UTC, datetime

from collector.backup import backup, restore
from collector.duty.store import ActStore
from tests.collector.duty.incidents import an_act
from tests.collector.inventory import folders
from tests.collector.served import AGENT, served
from tests.waiting import until

PROVINCE = (
    folders.FILES["province.yml"]
    .replace("default_profile: calm", "default_profile: fast")
    .replace("escalate_after_seconds: 300", "escalate_after_seconds: 2")
)
SEVERITY = re.compile(r'^thongsuot_incident\{.*severity="(\w+)"', re.MULTILINE)


def iso(moment: float) -> str:
    """Write a moment as maintenance.yml takes it."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}+00:00"


async def test_work_in_progress_is_a_ticket_and_then_a_page_and_then_the_next_is_called(tmp_path):
    """Never both in one scrape; the wait for an acknowledgement begins with the page."""
    ends = time.time() + 8
    window = (
        "windows:\n- id: rack\n  name: {vi: Thay tủ mạng, en: New rack}\n"
        f"  begins: {iso(ends - 600)}\n  ends: {iso(ends)}\n  sites: ['{AGENT}']\n"
    )
    files = {**folders.FILES, "province.yml": PROVINCE, "maintenance.yml": window}
    folders.write(tmp_path, files)
    told: list[tuple[str, ...]] = []
    async with served(tmp_path) as here:
        await here.push(agent=AGENT)
        async with asyncio.timeout(30):
            while not here.centre.duty.escalations:
                _, _, page = await here.get("/metrics/live")
                seen = tuple(SEVERITY.findall(page.decode()))
                if told[-1:] != [seen]:
                    told.append(seen)
                await asyncio.sleep(0.1)
        (identity,) = here.centre.incidents.open
        acts = here.centre.duty.of(identity)

    assert told == [(), ("ticket",), ("page",)]
    assert [(act.kind, act.to) for act in acts] == [
        ("maintenance", "rack"),
        ("maintenance_over", "rack"),
        ("escalated", "department"),
    ]
    assert acts[1].at >= int(ends)
    assert acts[2].at >= acts[1].at + 2


async def test_a_backup_has_the_acts(tmp_path):
    """They are in the incidents' file, and come back with it."""
    async with served(tmp_path) as here:
        here.centre._acts.add([an_act("acknowledged", 1)])
        await asyncio.to_thread(backup, tmp_path / "state", tmp_path / "copy", time.time())
    restore(tmp_path / "copy", tmp_path / "anew", time.time())

    store = ActStore(tmp_path / "anew" / "state.sqlite")
    assert store.of("phu-tho-250701-001") == [an_act("acknowledged", 1)]
    store.close()


async def test_a_province_may_plan_work_while_the_collector_runs(tmp_path):
    """The folder is read again: maintenance.yml is new, and heeded by what opens from then on."""
    folders.write(tmp_path, {**folders.FILES, "province.yml": PROVINCE})
    async with served(tmp_path) as here:
        text = (
            "windows:\n- id: rack\n  name: {vi: Thay tủ mạng, en: New rack}\n"
            f"  begins: {iso(time.time() - 60)}\n  ends: {iso(time.time() + 600)}\n"
            f"  sites: ['{AGENT}']\n"
        )
        (here.folder / "maintenance.yml").write_text(text, "utf-8")
        await here.centre.reload()
        await here.push(agent=AGENT)
        await until(lambda: here.centre.incidents.open, seconds=10, what="a silent site")
        (identity,) = here.centre.incidents.open
        await until(lambda: here.centre.duty.standing(identity).maintenance, what="a ticket")
