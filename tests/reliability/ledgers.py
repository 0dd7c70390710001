"""The product's own ledger of a province, held against the independent account of the same files."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.e2e.province import COLLECTOR, ROOT, Province
from tests.reliability.accounts import Account, account

LOST = ("dropped", "damaged", "memory")


@dataclass(slots=True)
class Told:
    """What `thongsuot-collector ledger --json` says, summed up; the first five count batches."""

    stored: int = 0
    pending: int = 0
    set_aside: int = 0
    lost: int = 0
    unaccounted: int = 0
    attempts: int = 0
    """Stored."""
    missing: int = 0
    """Attempts that were made and are not stored."""
    doubled: int = 0
    """Batches and attempts."""
    gaps: int = 0
    unknown: int = 0
    """Of these, how many nobody can explain."""
    unexplained: int = 0
    """Runs that were due, are not stored, and have no cause."""

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, one.name)} {one.name}" for one in fields(self))


def hold_both(
    made: Province,
    *,
    boots: Mapping[str, int] = {},
    set_aside: int = 0,
    lost: int = 0,
    unheard: int = 0,
) -> Account:
    """End a collector whose agents have ended; hold the account, and that the ledger says the same.

    `boots`, `set_aside` and `lost` are the account's; of the lost, `unheard` are batches that no
    push ever spoke of: the centre cannot know that they were made.
    """
    if made.collector.process and made.collector.process.poll() is None:
        assert made.collector.stop() == 0
    found = account(made.folder, made=boots).hold(set_aside=set_aside, lost=lost)
    hold_ledger(made.folder, found, unheard=unheard)
    return found


def hold_ledger(
    folder: Path, found: Account, *, unaccounted: int = 0, unheard: int = 0, ahead: int = 0
) -> Told:
    """Ask a stopped province's ledger, and hold that it says what the account found.

    `unaccounted`: batches that a centre acknowledged and then lost with its own disk; `unheard` as
    above; `ahead`: attempts of hours behind those that the ledger is asked for.
    """
    said = ask(folder)
    told = sum_up(said)
    print(f"ledger: {told}")
    causes = [gap for agent in _agents(said) for gap in agent["gaps"] if gap["cause"] == "unknown"]
    assert (told.doubled, told.unaccounted) == (0, unaccounted), told
    assert (said["doubled"], said["unaccounted"]) == (0, unaccounted), told
    assert (told.stored, told.set_aside) == (found.stored, found.set_aside), (told, found)
    assert told.lost == found.lost - unheard, (told, found)
    assert told.pending == found.waiting, (told, found)
    assert told.attempts == found.at_centre - ahead, (told, found)
    assert told.missing == found.not_at_centre, (told, found)
    assert unaccounted or not told.unknown, causes
    return told


def ask(folder: Path) -> dict[str, Any]:
    """Return what the command says of a province, whether its collector runs or not."""
    command = [*COLLECTOR, "ledger", "--json", "-c", f"{folder}/collector.yml"]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sum_up(said: dict[str, Any]) -> Told:
    """Add up what is said of all agents."""
    told = Told()
    for agent in _agents(said):
        for one in agent["accounts"]:
            told.stored += one["stored"]
            told.pending += one["pending"]
            told.set_aside += one["set_aside"]
            told.lost += sum(one[word] for word in LOST)
            told.unaccounted += one["unaccounted"]
        for check in agent["checks"]:
            told.attempts += check["stored"]
            told.missing += check["lost"]
            told.doubled += check["doubled"]
            told.unexplained += check["missing"].get("unknown", 0)
        told.doubled += agent["repeated"]
        told.gaps += len(agent["gaps"])
        told.unknown += sum(gap["cause"] == "unknown" for gap in agent["gaps"])
    return told


def _agents(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [agent for site in said["sites"] for agent in site["agents"]]
