"""What the rollups cost: folding Phú Thọ's samples, keeping a day of them, reading it back.

The peer is a plain SQL table with a row for each series and minute.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.probes import PROBES
from agent.wire import WIRE_VERSION, Batch, Sample, Stamp
from collector.ingest.entries import NewEntry
from collector.ingest.journal import Journal
from collector.inventory.load import load
from collector.inventory.model import Inventory, Series
from collector.state import rollup_follow
from collector.state.minutes import pack_hour
from collector.state.rollup import Gathered, Line, Rollup
from collector.state.rollup_follow import Follower
from collector.state.rollup_read import RollupReader
from collector.state.rollup_store import Reached, RollupStore
from tests.bench.measure import Row

PHU_THO = Path(__file__).parents[2] / "configs/provinces/phu-tho"
HOUR = 1_751_342_400 // 3600
MINUTES = 3
"""Of journal that are folded from the file."""
DAY_HOURS = 24
ROUNDS = 3


def compare(work: Path) -> list[Row]:
    """Return a row for each figure."""
    inventory = load(PHU_THO)
    folding = Row(
        "rollups, 9,443 series each 5 s: CPU of a core", "%", "reading the journal alone", ""
    )
    size = Row("rollups, 9,443 series: a day on disk", "MB", "plain SQL rows", "")
    check = Row("rollups: one check, 148 sites, 24 h", "s", "plain SQL rows", "<= 1 s")
    site = Row("rollups: one site, all series, 24 h", "s", "plain SQL rows", "")
    reading, all_of_it = asyncio.run(_fold(work, inventory))
    folding.peer.append(100 * reading)
    folding.ours.append(100 * all_of_it)
    path, plain = work / "day.sqlite", work / "plain.sqlite"
    ours, share = _fill(path, inventory)
    size.ours.append(ours / 1e6)
    size.peer.append(_fill_plain(plain, path) / share / 1e6)
    reader, peer = RollupReader(path), sqlite3.connect(plain)
    begin = float(HOUR * 3600)
    for _ in range(ROUNDS):
        for row, ask, where, word in (
            (check, lambda: reader.of_check("dns", begin, begin + 86_400), "check_id", "dns"),
            (site, lambda: reader.of_agents(["04792"], begin, begin + 86_400), "agent", "04792"),
        ):
            began = time.perf_counter()
            found = ask()
            row.ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            rows = peer.execute(
                f"SELECT * FROM minutes JOIN series USING (id) WHERE {where} = ?", (word,)
            ).fetchall()
            row.peer.append(time.perf_counter() - began)
            assert sum(len(track.minutes) for track in found) == len(rows)
    return [folding, size, check, site]


async def _fold(work: Path, inventory: Inventory) -> tuple[float, float]:
    """Return the share of a core that reading takes, and reading, folding and keeping."""
    journal = Journal(work / "journal.sqlite", time.time)
    seq = 0
    for minute in range(MINUTES):
        for second in range(60):
            seq += 1
            await journal.append(list(_second(inventory, seq, minute * 60 + second)))
    began = time.process_time()
    for after in range(0, journal.newest_id, rollup_follow.READ_AT_ONCE):
        await journal.read(after, rollup_follow.READ_AT_ONCE)
    reading = time.process_time() - began
    rollup_follow.SHARE = 1.0 - 1e-9
    rollup_follow.SAVE_SAMPLES = 9_443 * 12  # as often as by the clock
    follower = Follower(work / "rollup.sqlite", journal)
    began = time.process_time()
    while follower.behind or not follower.settled:
        await follower.step()
        if not follower.behind:
            await follower.save()
    took = time.process_time() - began
    await journal.close()
    return reading / (MINUTES * 60), took / (MINUTES * 60)


def _second(inventory: Inventory, seq: int, second: int) -> Iterator[NewEntry]:
    for agent, all_of_it in inventory.series_of_agent.items():
        samples = [
            _sample(inventory, one, random)
            for place, one in enumerate(all_of_it)
            if place % 5 == second % 5
        ]
        batch = Batch(
            v=WIRE_VERSION,
            agent=agent,
            boot="b0" * 16,
            machine_boot="a1" * 16,
            seq=seq,
            sealed=samples[0].start if samples else Stamp(wall_ms=0, mono_ns=0),
            synchronised=True,
            config=1,
            program="bench",
            samples=samples,
        )
        yield NewEntry(
            agent=agent,
            boot=batch.boot,
            seq=seq,
            batch=batch,
            body=msgspec.json.encode(batch),
            times=[HOUR * 3600.0 + second] * len(samples),
            trusted=True,
            quarantined=[],
            received_at=HOUR * 3600.0 + second,
        )


def _sample(inventory: Inventory, series: Series, chance: random.Random) -> Sample:
    kind = inventory.checks[series.check].kind
    values = {
        name: chance.lognormvariate(-4, 0.3)
        for row in PROBES[kind].values
        if not row.counter
        for name in row.keys()  # noqa: SIM118 - Value has a method of that name
    }
    if "icmp_loss_ratio" in values:
        values["icmp_loss_ratio"] = 0.0 if chance.random() < 0.98 else 0.2
    if "ssl_earliest_cert_expiry" in values:
        values["ssl_earliest_cert_expiry"] = 1_790_000_000.0
    return Sample(
        check=series.check,
        target=series.target,
        line=series.line,
        kind=kind,
        version=1,
        start=Stamp(wall_ms=HOUR * 3_600_000, mono_ns=1 << 40),
        duration=round(chance.lognormvariate(-4, 0.3), 6),
        phases=dict.fromkeys(PROBES[kind].phases, 0.001234),
        values={name: round(number, 7) for name, number in values.items()},
        counters={"all_success_count": 12_345, "all_success_sum": 12_345},
        attempt=1,
    )


def _fill(path: Path, inventory: Inventory) -> tuple[int, float]:
    """Keep a day of one check of all sites and of one site; return bytes of a whole day, and the share kept."""
    store = RollupStore(path)
    kept = [one for one in inventory.interval_of if one.check == "dns" or one.agent == "04792"]
    hour = _an_hour(inventory, kept, HOUR)
    for later in range(DAY_HOURS):
        shifted = {
            key: Line({at + 60 * later: one for at, one in line.minutes.items()}, {})
            for key, line in hour.series.items()
        }
        store.save(Gathered(shifted, {}), Reached(later + 1))
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._database.execute("VACUUM")
    store.close()
    # the whole province: an hour of every 10th series
    sampled = list(inventory.interval_of)[::10]
    cells = [line.minutes for line in _an_hour(inventory, sampled, HOUR).series.values()]
    body = sum(len(pack_hour(minutes)) + 12 for minutes in cells)
    return body * 10 * 24, len(kept) / len(inventory.interval_of)


def _an_hour(inventory: Inventory, kept: list[Series], hour: int) -> Gathered:
    rollup = Rollup()
    chance = random.Random(hour)
    for series in kept:
        samples = [_sample(inventory, series, chance) for _ in range(60)]
        batch = Batch(
            v=1,
            agent=series.agent,
            boot="b",
            machine_boot="a",
            seq=1,
            sealed=samples[0].start,
            synchronised=True,
            config=1,
            program="",
            samples=samples,
        )
        for _ in range(12):
            samples[:] = [
                msgspec.structs.replace(one, duration=round(chance.lognormvariate(-4, 0.3), 6))
                for one in samples
            ]
            rollup.fold(
                NewEntry(
                    agent=series.agent,
                    boot="b",
                    seq=1,
                    batch=batch,
                    body=b"",
                    times=[hour * 3600.0 + 60 * n for n in range(60)],
                    trusted=True,
                    quarantined=[],
                    received_at=0.0,
                )
            )
    return rollup.take()


def _fill_plain(path: Path, ours: Path) -> int:
    reader = RollupReader(ours)
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE series (id INTEGER PRIMARY KEY, agent, check_id, target, line)")
    names = ", ".join(f"c{n}" for n in range(16))
    plain.execute(f"CREATE TABLE minutes (id, at, {names}, PRIMARY KEY (id, at)) WITHOUT ROWID")
    tracks = {
        track.key: track
        for track in reader.of_check("dns", 0, 4e9) + reader.of_agents(["04792"], 0, 4e9)
    }
    for number, (key, track) in enumerate(tracks.items()):
        plain.execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?)",
            (number, key.agent, key.check, key.target, key.line),
        )
        rows = [
            (
                number,
                one.at,
                *(one.runs, one.successes, one.errors, one.again, one.again_successes),
                *(one.again_errors, one.duration_sum, one.duration_max),
                *(*one.values, *[None] * 8)[:8],
            )
            for one in track.minutes
        ]
        plain.executemany(f"INSERT INTO minutes VALUES ({', '.join('?' * 18)})", rows)
    plain.execute("CREATE INDEX by_check ON series (check_id)")
    plain.execute("CREATE INDEX by_agent ON series (agent)")
    plain.commit()
    plain.execute("VACUUM")
    return path.stat().st_size
