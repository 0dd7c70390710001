"""From a cut wire to a page for the carrier: a real agent, a real collector, the kernel's routers."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent import evidence
from agent.config import read_agent_file
from agent.service import Service
from agent.wire import EVIDENCE
from collector.evidence_export import export
from tests.agent.probes.namespaces import inside, nft, sysctl, three
from tests.collector.served import Served, served
from tests.e2e.province import CHECKS, PROVINCE, More
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
SITE = "04792"
PORTAL = "http://10.7.2.2:8080/"


@asynccontextmanager
async def portal(namespace: str):
    """Answer every request, far away."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nready")
        await writer.drain()
        writer.close()

    with inside(namespace):
        server = await asyncio.start_server(answer, "10.7.2.2", 8080)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


def write_province(folder: Path) -> None:
    """Write one site with one check."""
    folder.mkdir()
    (folder / "sites.csv").write_text(
        "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone\n"
        f"{SITE},Xã Thử,xã,Thử,,,,,,\n"
    )
    (folder / "lines.csv").write_text(
        "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor\n"
        f"{SITE},,vnpt,vnpt,ftth,100,source,10.7.1.2,,\n"
    )
    (folder / "devices.csv").write_text("site,agent,device,kind,address\n")
    (folder / "province.yml").write_text(PROVINCE.replace("{profile}", More().profile))
    checks = CHECKS.format(url=PORTAL, interval=1).rstrip() + "\n    line: each\n"
    (folder / "checks.yml").write_text(checks)


def write_agent(here: Served, home: Path) -> Path:
    """Write an agent's files; return its agent.yml."""
    home.mkdir()
    (home / "token").write_text(here.token(SITE))
    (home / "agent.yml").write_text(
        f"agent: '{SITE}'\ncollector: {{url: '{here.url}', token_file: token}}\n"
        "state_directory: state\n"
    )
    return home / "agent.yml"


@asynccontextmanager
async def an_agent(here: Served, home: Path):
    """Run an agent of the site; its uplink takes the loopback, its checks the line."""
    service = Service(read_agent_file(write_agent(here, home)))
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        yield service
        assert not task.done()
    finally:
        stop.set()
        await task


def state(here: Served) -> str:
    """Return what the centre believes of the portal."""
    [found] = here.centre.fleet.series.values()
    return found.state


async def test_a_wire_is_cut_at_the_router(tmp_path, monkeypatch):
    """Within 20 s of the cut: the broken path and the last good one, journalled, shown, exported."""
    monkeypatch.setattr(evidence, "BASELINES_APART_SECONDS", 0.5)
    write_province(tmp_path / "mau")
    with three() as names:
        async with portal(names.far):
            with inside(names.site):
                sysctl("ipv4/ping_group_range", "0 2147483647")
                async with served(tmp_path) as here:
                    async with an_agent(here, tmp_path / SITE) as agent:
                        good = agent._evidence._baselines
                        await until(lambda: good, seconds=20, what="a good path")
                        await until(lambda: state(here) == "up", what="portal up")
                        cut = time.time()
                        nft(
                            "table inet cut {\n chain c {\n"
                            " type filter hook forward priority 1\nip daddr 10.7.2.2 drop\n}\n}\n",
                            names.router,
                        )
                        newest = here.centre.evidence.newest
                        await until(lambda: newest, seconds=20, what="evidence")
                        passed = time.time() - cut
                        assert state(here) == "down"
                    entries = await here.centre.journal.read(0, 10_000)
                    _, _, page = await here.get(f"/evidence/{SITE}/portal")
                    said = export(here.centre._config, here.centre.fleet.inventory, SITE)

    samples = [sample for entry in entries for sample in entry.batch.samples]
    [found] = [sample for sample in samples if sample.kind == EVIDENCE]
    assert passed < 20
    assert (found.check, found.target, found.line) == ("portal", PORTAL, "vnpt")
    assert found.failure == "timeout"
    assert found.facts["path"].split("\n")[::2] == ["tcp 10.7.2.2 8080", "2-20 *"]
    assert found.facts["last_good_path"].split("\n")[-1].endswith(" answered")
    assert found.facts["gateway"].startswith("10.7.1.1 wan: answered in ")
    broken = (
        "Đứt sau chặng 1 (10.7.1.1): từ đó không ai trả lời. Lần tốt gần nhất, chặng 2 là 10.7.2.2."
    )
    assert broken in page.decode()
    assert broken in said
    assert "vnpt · VNPT · ftth" in said
