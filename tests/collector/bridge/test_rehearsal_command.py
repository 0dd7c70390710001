"""The command against a running collector and agents that answer: from the plan to the table."""

import asyncio
import json
import os
import signal
import stat
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.wire import Slot
from collector.bridge.slots import REHEARSAL
from collector.control import opened
from tests.collector.bridge.test_rehearsal import GOOD
from tests.collector.bridge.test_slots_in_answers import SECRET
from tests.collector.ingest.pushes import batch, sample
from tests.collector.inventory import loading
from tests.collector.inventory.folders import write
from tests.collector.inventory.test_loads import SPEED, folder
from tests.collector.served import Served, served
from tests.waiting import until

ROOT = Path(__file__).parents[3]
AGENTS = ("04792", "07900", "07900-ttpv", "08209", "dc")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder with a province of four sites, the secret, and patience for a test."""
    loading.put_in(monkeypatch)
    short = ("720p, seconds: 30", "720p, seconds: 0.5")
    write(tmp_path, folder(short, ("batch_seconds: 10", "batch_seconds: 1"), (SPEED, "")))
    (tmp_path / "bridge.secret").write_text("a secret of the province\n")
    monkeypatch.setattr("collector.bridge.slots.GUARD_SECONDS", 0.5)
    monkeypatch.setattr("collector.bridge.slots.HEAR_SECONDS", -0.2)
    monkeypatch.setattr("collector.bridge.rehearsal.PATIENCE_SECONDS", 1.5)
    return tmp_path


class Agents:
    """All agents of the province: each asks often, runs its slots, and says what it measured."""

    def __init__(self, here: Served) -> None:
        self.here = here
        self.used: dict[str, Slot] = {}
        self.values: dict[str, dict[str, float]] = {}
        """What an agent measures instead; None: it never says."""
        self.number = 0

    async def run(self, agent: str) -> None:
        """Be one of them."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for slot in (await self.here.push(agent=agent)).slots:
                    # Before and after a rehearsal the runs of the day have their turns.
                    if slot.id.startswith(REHEARSAL) and slot.id not in self.used:
                        self.used[slot.id] = slot
                        tasks.create_task(self._measure(agent, slot))
                await asyncio.sleep(0.1)

    async def _measure(self, agent: str, slot: Slot) -> None:
        await asyncio.sleep(slot.starts_in + slot.max_seconds)
        values = self.values.get(agent, GOOD)
        if values is None:
            return
        self.number += 1
        one = sample(
            check=slot.check,
            target=slot.target,
            kind="media",
            values=values,
            facts={"slot": slot.id},
        )
        await self.here.push(batch(self.number, agent=agent, samples=[one]), agent=agent)


@asynccontextmanager
async def a_province(home, agents=AGENTS):
    """Run a collector with its control door, and its agents."""
    async with served(home, more=SECRET) as here, opened(here.centre, home / "state"):
        them = Agents(here)
        tasks = [asyncio.create_task(them.run(agent)) for agent in agents]
        await until(lambda: len(here.centre.live()) == len(agents), what="all are heard")
        try:
            yield here, them
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def command(home, *words: str):
    """Start the command."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "collector",
        "rehearsal",
        "-c",
        str(home / "collector.yml"),
        *words,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def done(home, *words: str):
    """Run the command to its end; return its status, what it said and what it complained."""
    process = await command(home, *words)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_without_yes_it_only_says_what_it_would_load(home):
    """Sites, Mbit/s, what is too much, who takes no part; nothing is started."""
    async with a_province(home, ("04792", "08209")) as (here, them):
        status, out, err = await done(home, "--check", "video", "--stages", "50,100")

        assert (0, "") == (status, err)
        assert out == (
            "Diễn tập video: luồng 720p, mỗi đợt 0,5 giây, mọi nơi bắt đầu cùng lúc, "
            "lên đường bridge (100 Mbit/s mỗi chiều)\n"
            "Không thử quá 80 % đường: nhiều nhất 50 nơi cùng lúc\n"
            "  đợt 50 %: 1 nơi, 1,6 Mbit/s mỗi chiều\n"
            "  đợt 100 %: 2 nơi, 3,1 Mbit/s mỗi chiều\n"
            "Không có tin, không tham gia: 07900, dc\n"
            "Chưa chạy gì. Phép thử này chiếm băng thông thật: chạy ban đêm, khi đã được đồng ý; "
            "thêm --yes để chạy.\n"
        )
        assert here.centre.rehearsals.report is None
        assert {} == them.used


@pytest.mark.slow
async def test_a_rehearsal_from_the_plan_to_the_table(home):
    """Stages at one instant, a row for each site, the capacity; kept as JSON, the table free again."""
    async with a_province(home) as (here, them):
        them.values["08209"] = {**GOOD, "media_jitter_seconds.forward": 0.025}
        file = home / "result.json"
        status, out, err = await done(
            home,
            "--check",
            "video",
            "--stages",
            "50,100",
            "--yes",
            "--lang",
            "en",
            "--json",
            str(file),
        )

        assert (0, "") == (status, err), out
        for line in (
            "stage 50 %: 2 sites begin",
            "stage 50 %: good",
            "stage 100 %: 4 sites begin",
            "stage 100 %: good",
            "Every stage was run.",
            "Capacity proven: 4 sites at once, 6.29 Mbit/s each way.",
        ):
            assert line in out.splitlines()
        table = [line for line in out.splitlines() if "100 %  " in line]
        assert ["04792", "07900", "08209", "dc"] == [line.split()[0] for line in table]
        assert table[0].endswith("good     0.10 %  30 ms       4.0 ms   4.40")
        assert table[2].endswith("limited  0.10 %  30 ms       25.0 ms  4.40  jitter")

        report = json.loads(file.read_text())
        kept = list((home / "state" / "rehearsals").iterdir())
        assert [report] == [json.loads(path.read_text()) for path in kept]
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in kept}
        assert ("done", 4) == (report["end"], report["capacity_sites"])
        assert not here.centre.slots.held
        assert 2 + 4 == len(them.used)


@pytest.mark.slow
async def test_failed_sites_end_it_with_status_1(home):
    """Who is lossy and who is silent are named; the stage is not good."""
    async with a_province(home) as (_, them):
        them.values["04792"] = {**GOOD, "media_loss_ratio.forward": 0.02}
        them.values["08209"] = None
        status, out, err = await done(home, "--check", "video", "--stages", "100", "--yes")

    assert (1, "") == (status, err)
    assert (
        "đợt 100 %: không đạt (2 nơi hỏng hoặc không trả lời, 0 nơi không đo được)"
        in out.splitlines()
    )
    assert "Dừng: quá 10 % số nơi trong đợt không đạt." in out.splitlines()
    assert "Chưa chứng minh được sức chịu nào." in out.splitlines()
    assert "không đạt      2,00 %" in out
    assert "không trả lời  -" in out


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ctrl-c", "--abort"])
async def test_it_is_ended_by_a_persons_word(home, way, monkeypatch):
    """Ctrl-C, or the command from elsewhere: nothing more begins, the table is free, it is told."""
    monkeypatch.setattr("collector.bridge.rehearsal.PATIENCE_SECONDS", 60.0)
    async with a_province(home) as (here, them):
        them.values = dict.fromkeys(AGENTS)
        process = await command(home, "--check", "video", "--stages", "50,100", "--yes")
        await until(lambda: len(them.used) == 2, seconds=20, what="the first stage is told")
        if way == "ctrl-c":
            os.kill(process.pid, signal.SIGINT)
        else:
            status, out, _ = await done(home, "--abort")
            assert status == 0
            assert "Đã dừng theo yêu cầu." in out.splitlines()
        out, err = await asyncio.wait_for(process.communicate(), 20)

        assert (1, b"") == (process.returncode, err)
        assert "Đã dừng theo yêu cầu." in out.decode().splitlines()
        assert not here.centre.slots.held
        assert "aborted" == here.centre.rehearsals.report.end
        await asyncio.sleep(1.5)
        assert 2 == len(them.used)


REFUSED = [
    (("--check", "gateway"), "check 'gateway' is no media test; expected one of: video\n"),
    (("--check", "vidio"), "check 'vidio' is no media test; did you mean 'video'?\n"),
    (
        ("--check", "video", "--stages", "10,x"),
        "stages: expected percentages from 1 to 100, such as 10,25,50,100\n",
    ),
    (
        ("--check", "video", "--stages", "0,101", "--yes"),
        "stages: expected percentages from 1 to 100, such as 10,25,50,100\n",
    ),
    ((), "--check: expected the id of a media check\n"),
]


async def test_what_cannot_be_is_refused_in_words(home):
    """Status 1, the reason, no traceback."""
    async with a_province(home, ("04792",)):
        told = await asyncio.gather(*(done(home, *words) for words, _ in REFUSED))

    assert [(1, "", why) for _, why in REFUSED] == told


async def test_one_at_a_time(home):
    """A second one is refused while the first is under way."""
    async with a_province(home) as (here, _):
        centre = here.centre
        centre.rehearsals.start("video", [1.0], centre.live(), centre.now())
        status, _, err = await done(home, "--check", "video", "--yes")
        assert (1, True) == (status, err.endswith("is under way\n"))


async def test_without_a_collector_it_says_so(home):
    """Nothing runs: one sentence."""
    (home / "collector.yml").write_text("province: mau\nstate_directory: state\n")
    (home / "state").mkdir()
    status, out, err = await done(home, "--check", "video")
    assert (1, "", f"no collector runs on {home}/state: start it, or name its collector.yml\n") == (
        status,
        out,
        err,
    )


async def test_a_phase_without_load_tests_allows_none(home):
    """Also not the deliberate ones."""
    text = (home / "mau" / "province.yml").read_text()
    (home / "mau" / "province.yml").write_text(
        text.replace("silent_after_seconds: 35,", "silent_after_seconds: 35, load_tests: none,")
    )
    async with a_province(home, ("04792",)):
        status, _, err = await done(home, "--check", "video")
    assert (1, "the phase, now or about to begin, has load_tests: none\n") == (status, err)


async def test_the_door_is_its_owners_and_closes_behind_itself(home):
    """Mode 0600 from its first moment; gone after the end; a dead one's is replaced."""
    path = home / "state" / "control.sock"
    async with served(home) as here:
        path.touch()  # a leftover
        async with opened(here.centre, home / "state"):
            mode = path.stat().st_mode
            assert (True, 0o600) == (stat.S_ISSOCK(mode), stat.S_IMODE(mode))
            status, _, _ = await here.get("/rehearsal")
            assert status == 404  # not over the network
        assert not path.exists()
