"""A rehearsal with everything real: agents, collector, reflector, and the command at its end."""

import asyncio
import json
import sys

import pytest

from tests.e2e.province import More, province
from tests.e2e.test_media import CHECKS, TRUNKS, reflector

pytestmark = pytest.mark.slow
__all__ = ["reflector"]
TRIES = 4
"""Agents on a busy machine say that they could not measure, and the rehearsal says so."""


async def test_two_communes_prove_the_bridge(tmp_path, reflector):
    """The stage is run by the agents' own probes; each commune has its figures in the result."""
    program, port = reflector
    more = More(
        province=TRUNKS,
        checks=CHECKS.format(port=port),
        collector="bridge: {secret_file: bridge.secret}\n",
    )
    program.start()
    try:
        with province(tmp_path, agents=("04792", "04813"), more=more) as here:
            await here.measured()
            config = next(tmp_path.rglob("collector.yml"))
            file = tmp_path / "result.json"
            words = ("--check", "vc-sound", "--stages", "100", "--yes", "--json", str(file))
            for _ in range(TRIES):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "collector", "rehearsal", "-c", str(config), *words),
                    stdout=asyncio.subprocess.PIPE,
                )
                out, _ = await asyncio.wait_for(process.communicate(), 60)
                report = json.loads(file.read_text())
                if report["end"] == "done":
                    break
    finally:
        program.end()

    assert 0 == process.returncode, out.decode()
    assert ("done", 2) == (report["end"], report["capacity_sites"]), out.decode()
    last = report["stages"][-1]["results"]
    assert {"04792", "04813"} == {result["site"] for result in last}
    for result in last:
        assert {"loss_ratio", "rtt_seconds", "jitter_seconds", "pdv_seconds", "mos"} == set(
            result["figures"]
        )
    assert "Sức chịu đã chứng minh: 2 nơi cùng lúc" in out.decode()


async def test_a_rehearsal_pages_nobody(tmp_path, reflector):
    """Runs of a rehearsal that fail, here for want of a reflector, open no incident."""
    _, port = reflector
    more = More(
        province=TRUNKS,
        checks=CHECKS.format(port=port).replace("interval_seconds: 10", "interval_seconds: 3600"),
        collector="bridge: {secret_file: bridge.secret}\n",
    )
    with province(tmp_path, agents=("04792",), more=more) as here:
        await here.measured()
        config = next(tmp_path.rglob("collector.yml"))
        for _ in range(3):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "collector", "rehearsal", "-c", str(config)),
                *("--check", "vc-sound", "--stages", "100", "--yes"),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 1, out.decode()

        assert here.series("thongsuot_incident") == []
        assert here.series("thongsuot_check_up", check="vc-sound") == []
