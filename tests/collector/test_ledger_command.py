"""`thongsuot-collector ledger`: beside a running collector, as text and as JSON."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.wire import Held, SpoolState
from collector.config import read_collector_file
from collector.evidence_export import ExportError
from collector.inventory.load import load
from collector.ledger_command import ledger
from collector.state import ledger_keep, rollup_follow
from tests.collector.ingest.pushes import BOOT, batch, sample, stamp
from tests.collector.served import AGENT, Served, served
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Let nothing wait before it is written down."""
    monkeypatch.setattr(ledger_keep, "SAVE_SECONDS", 0.05)
    monkeypatch.setattr(rollup_follow, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(rollup_follow, "SAVE_SECONDS", 0.05)


async def report(here: Served, *numbers: int, sealed: int, pending=()) -> None:
    """Push some batches of one attempt at the router each, and what the spool says."""
    now = 1e6 + time.monotonic()
    samples = [
        sample(
            check="gateway",
            target="192.0.2.1",
            kind="icmp",
            start=stamp(mono=now),
            counters={"all_success_count": number},
        )
        for number in numbers
    ]
    await here.push(
        *(
            batch(number, samples=[one], sealed=stamp(mono=now))
            for number, one in zip(numbers, samples, strict=True)
        ),
        sent=stamp(mono=now),
        spool=SpoolState(held=[Held(boot=BOOT, sealed=sealed, pending=list(pending))]),
    )
    await until(lambda: here.centre.rollups.settled, what="counted")
    await here.centre.ledger.save()


def said(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "collector", "ledger", "-c", str(home / "collector.yml"), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_beside_a_running_collector(tmp_path):
    """What waits at the PC is pending; once it is in, nothing is left; all from read-only files."""
    async with served(tmp_path) as here:
        await report(here, 1, 2, 5, sealed=5, pending=[(3, 4)])
        first = json.loads(said(tmp_path, "--site", AGENT, "--json").stdout)
        (account,) = first["sites"][0]["agents"][0]["accounts"]
        assert (account["sealed"], account["stored"], account["pending"]) == (5, 3, 2)
        assert (first["doubled"], first["unaccounted"]) == (0, 0)
        (check,) = [one for one in first["sites"][0]["checks"] if one["check"] == "gateway"]
        assert (check["made"], check["stored"], check["lost"]) == (5, 3, 2)
        await report(here, 3, 4, sealed=5)
        second = json.loads(said(tmp_path, "--site", AGENT, "--json").stdout)
        (account,) = second["sites"][0]["agents"][0]["accounts"]
        assert (account["stored"], account["pending"], account["unaccounted"]) == (5, 0, 0)
        text = said(tmp_path).stdout
        assert "Không có gì lưu hai lần." in text
        assert f"Phường Tân Hòa ({AGENT})" in text
        english = said(tmp_path, "--lang", "en", "--site", AGENT).stdout
        assert "Runs of the agent:" in english


async def test_a_batch_nobody_can_account_for_is_told(tmp_path):
    """The agent does not hold it, the journal does not have it, no total names it."""
    async with served(tmp_path) as here:
        await report(here, 1, 2, 4, sealed=4)
        whole = json.loads(said(tmp_path, "--json").stdout)
        assert whole["unaccounted"] == 1
        await here.centre.ledgers.refresh()
        _, _, page = await here.get("/metrics")
        assert f'thongsuot_ledger_unaccounted_batches{{site="{AGENT}"}} 1.0' in page.decode()
        assert f'thongsuot_ledger_doubled_samples{{site="{AGENT}"}} 0.0' in page.decode()
        status, _, shown = await here.get(f"/ledger/{AGENT}?lang=en")
        assert status == 200
        assert "The fate of 1 batch is not known." in shown.decode()


async def test_what_cannot_be_told(tmp_path):
    """Unknown places, times that are none, and a collector that has counted nothing."""
    async with served(tmp_path) as here:
        await until(lambda: here.centre.rollups.settled, what="counted")
        config = read_collector_file(tmp_path / "collector.yml")
        inventory = load(config.province)
        with pytest.raises(ExportError, match="nothing is counted yet"):
            ledger(config, inventory)
        with pytest.raises(ExportError, match="99999: expected a site of"):
            ledger(config, inventory, "99999")
        with pytest.raises(ExportError, match="expected 2025-07-01 or 2025-07-01T09:30"):
            ledger(config, inventory, begin="noon")
        with pytest.raises(ExportError, match="expected an end behind the beginning"):
            ledger(config, inventory, begin="2025-07-02", end="2025-06-30")
    for file in (tmp_path / "state").glob("ledger.sqlite*"):
        file.unlink()
    refused = said(tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cannot be read" in refused.stderr
