"""Evidence through the whole collector: journalled, shown, kept over restarts, and no attempt."""

import asyncio
import sqlite3
import time

from msgspec.json import encode

from agent.wire import EVIDENCE, Failure
from tests.collector.ingest.pushes import batch, sample, stamp
from tests.collector.served import AGENT, Served, served
from tests.collector.test_centre import gateway, mono, report
from tests.waiting import until

PATH = "icmp 192.0.2.1\n1 *"


async def tell(here: Served, seq: int, *, ago: float = 0.0, detail: str = "") -> None:
    """Push evidence about the router, as of some seconds ago."""
    now = mono()
    seen = sample(
        check="gateway",
        target="192.0.2.1",
        kind=EVIDENCE,
        start=stamp(mono=now - ago),
        failure=Failure.TIMEOUT,
        detail=detail,
        facts={"path": PATH},
    )
    await here.push(batch(seq, samples=[seen]), sent=stamp(mono=now))


async def page(here: Served, path: str = f"/evidence/{AGENT}/gateway") -> tuple[int, str]:
    """Return status and text of a page."""
    status, _, body = await here.get(path)
    return status, body.decode()


async def metrics(here: Served) -> list[str]:
    """Return what Prometheus is shown of the checks."""
    pages = [await here.get(path) for path in ("/metrics", "/metrics/live")]
    return sorted(
        line
        for _, _, body in pages
        for line in body.decode().splitlines()
        if 'check="gateway"' in line
    )


async def test_shown_and_no_attempt(tmp_path):
    """It is in the journal and on its page; state, metrics and incidents are as without it."""
    async with served(tmp_path) as here:
        await report(here, 1, None, None)
        before, shown = encode(gateway(here)), await metrics(here)
        assert (await page(here))[0] == 404
        for seq in range(2, 6):
            await tell(here, seq)
        await asyncio.sleep(0.6)  # two beats: an incident would be open by now

        assert (AGENT, 5) in await here.kept()
        assert encode(gateway(here)) == before
        assert await metrics(here) == shown
        assert not here.centre.incidents.open
        status, text = await page(here)
        assert status == 200
        assert "Không chặng nào trả lời" in text


async def test_linked_from_the_wall(tmp_path):
    """The card of the incident links to it, and the page names the incident."""
    async with served(tmp_path) as here:
        await report(here, 1, Failure.TIMEOUT, Failure.TIMEOUT)
        await tell(here, 2)
        await until(lambda: here.centre.incidents.open, what="the incident")
        await asyncio.sleep(0.6)
        _, wall = await page(here, "/?lang=vi")
        _, text = await page(here)
        [incident] = here.centre.incidents.open

    assert f'href="/evidence/{AGENT}/gateway?lang=vi">Bằng chứng</a>' in wall
    assert f"chưa xong ({incident})" in text


async def test_kept_over_restarts_and_read_again(tmp_path):
    """Once, though the start goes through the journal again; also where the file was lost."""
    async with served(tmp_path) as here:
        await tell(here, 1)
        dossier = await here.centre.dossier(AGENT, "gateway")
    for lost in (False, True):
        if lost:
            for file in (tmp_path / "state").glob("state.sqlite*"):
                file.unlink()
        async with served(tmp_path) as here:
            assert (await here.centre.dossier(AGENT, "gateway")).evidence == dossier.evidence
            assert here.centre.evidence.newest == {(AGENT, "gateway"): dossier.evidence[0].at}


async def test_late_evidence_has_its_own_time(tmp_path):
    """What waited on the PC while the line was dead is shown as of then."""
    async with served(tmp_path) as here:
        await tell(here, 1, ago=3600.0)
        [one] = (await here.centre.dossier(AGENT, "gateway")).evidence

    assert abs(one.at - (time.time() - 3600.0)) < 5
    assert one.trusted


async def test_a_full_disk_costs_the_page_only(tmp_path, monkeypatch, caplog):
    """Evidence that cannot be kept beside the journal is acknowledged all the same: the journal has it."""
    async with served(tmp_path) as here:

        def refuse(_found):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(here.centre.evidence, "save", refuse)
        await tell(here, 1)
        await report(here, 2, None, None)

        assert [seq for _, seq in await here.kept()] == [1, 2]
        assert gateway(here).state == "up"
    assert f"evidence cannot be kept agent={AGENT} error=database or disk is full" in caplog.text


async def test_many_at_once(tmp_path):
    """Pushes of several kept at the same time do not trip over each other."""
    async with served(tmp_path) as here:
        await asyncio.gather(*(tell(here, seq) for seq in range(1, 21)))
        dossier = await here.centre.dossier(AGENT, "gateway")

    assert len(dossier.evidence) == 20
