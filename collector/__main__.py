"""`thongsuot-collector`: flags, logging, exit codes."""

import argparse
import asyncio
import logging
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from agent import VERSION
from agent.strict import ConfigError
from collector.backup import JOURNAL, BackupError, backup, restore
from collector.bridge import reflector
from collector.bridge.rehearsal_command import Command
from collector.bridge.rehearsals import RehearsalError
from collector.config import read_collector_file
from collector.evidence_export import ExportError
from collector.ingest.access import Access, AccessError
from collector.ingest.chain import verify
from collector.inventory.load import load
from collector.inventory.problems import FolderError
from collector.inventory.report import report
from collector.lock import InUseError
from collector.serve import StartError, serve
from collector.tellers import LANG_HELP, add_tellers
from collector.wall.locale import TEXTS

OK, FAILED, CONFIGURATION = 0, 1, 2
DEFAULT_FILE = Path("/etc/thongsuot/collector.yml")
DEFAULT_REFLECTOR_FILE = Path("/etc/thongsuot/reflector.yml")
GRACE_HOURS = 24.0

_TOLD = (
    AccessError,
    BackupError,
    ExportError,
    InUseError,
    OSError,
    RehearsalError,
    StartError,
    sqlite3.Error,
)


def main() -> None:
    """Run one command."""
    arguments = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of each start of each job
    try:
        sys.exit(arguments.command(arguments))
    except (ConfigError, FolderError) as exc:
        print(exc, file=sys.stderr)
        sys.exit(CONFIGURATION)
    except _TOLD as exc:
        print(exc, file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thongsuot-collector",
        description="Keeps what the agents of a province measure, says what it means, shows it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="take pushes and show the province until told to stop")
    run.set_defaults(command=_run)

    check = commands.add_parser("check-config", help="say what a province's folder comes to")
    check.add_argument("folder", type=Path, metavar="DIR")
    check.add_argument("--agent", help="one agent, in full")
    check.set_defaults(command=_check_config)

    agent = commands.add_parser("agent", help="let agents in, or keep them out")
    doing = agent.add_subparsers(required=True, metavar="ACTION")
    add = doing.add_parser("add", help="make an agent's token and print it, this once")
    add.set_defaults(command=_add)
    rotate = doing.add_parser(
        "rotate", help="make a new token; the old one stays valid for a while"
    )
    rotate.add_argument(
        "--grace-hours",
        type=_hours,
        default=GRACE_HOURS,
        metavar="N",
        help=f"how long the old token stays valid (default {GRACE_HOURS:g})",
    )
    rotate.set_defaults(command=_rotate)
    revoke = doing.add_parser("revoke", help="refuse all of an agent's tokens from now on")
    revoke.set_defaults(command=_revoke)
    for action in (add, rotate, revoke):
        action.add_argument("agent", metavar="AGENT", help="its id, such as 04792")
    listing = doing.add_parser("list", help="say which agents have tokens, and when they were used")
    listing.set_defaults(command=_list)

    reflect = commands.add_parser(
        "reflector",
        help="answer the agents' media tests, on a machine beside the conference bridge",
    )
    reflect.set_defaults(command=_reflect)
    reflect.add_argument(
        "-c", "--config", type=Path, default=DEFAULT_REFLECTOR_FILE, metavar="FILE"
    )

    rehearse = commands.add_parser(
        "rehearsal", help="load the conference bridge on purpose, stage by stage"
    )
    rehearse.set_defaults(command=_rehearse)
    rehearse.add_argument("--check", metavar="ID", help="a media check")
    rehearse.add_argument(
        "--stages",
        default="10,25,50,100",
        metavar="PERCENT",
        help="shares of the sites that are heard (default 10,25,50,100)",
    )
    rehearse.add_argument("--yes", action="store_true", help="run it; without: say what it loads")
    rehearse.add_argument("--abort", action="store_true", help="end the one that is under way")
    rehearse.add_argument("--lang", choices=sorted(TEXTS), default="vi", help=LANG_HELP)
    rehearse.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")

    check_journal = commands.add_parser(
        "verify", help="follow the journal's chain of hashes; the collector may run meanwhile"
    )
    check_journal.add_argument(
        "folder", type=Path, nargs="?", metavar="DIR", help="a backup, in place of what runs"
    )
    check_journal.set_defaults(command=_verify)

    save = commands.add_parser(
        "backup", help="copy all state to a new folder; the collector may run meanwhile"
    )
    save.add_argument("folder", type=Path, metavar="OUT", help="the folder to make")
    save.set_defaults(command=_backup)

    put_back = commands.add_parser(
        "restore", help="put a backup into the empty state directory of a stopped collector"
    )
    put_back.add_argument("folder", type=Path, metavar="DIR", help="the backup")
    put_back.set_defaults(command=_restore)

    for command in (
        *(run, add, rotate, revoke, listing, *add_tellers(commands.add_parser), rehearse),
        *(check_journal, save, put_back),
    ):
        command.add_argument("-c", "--config", type=Path, default=DEFAULT_FILE, metavar="FILE")
    return parser


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= 24 * 365:
        raise argparse.ArgumentTypeError("expected 0 to 8760")
    return hours


def _run(arguments: argparse.Namespace) -> int:
    config = read_collector_file(arguments.config)
    inventory = load(config.province)
    asyncio.run(serve(config, inventory))
    return OK


def _reflect(arguments: argparse.Namespace) -> int:
    reflector.serve(reflector.read_reflector_file(arguments.config))
    return OK


def _rehearse(arguments: argparse.Namespace) -> int:
    state = read_collector_file(arguments.config).state_directory
    command = Command(state, arguments.lang, arguments.json)
    if arguments.abort:
        return OK if command.abort() else FAILED
    if not arguments.check:
        raise RehearsalError("--check: expected the id of a media check")
    command.plan(arguments.check, arguments.stages)
    if not arguments.yes:
        command.ask_for_consent()
        return OK
    return OK if command.run(arguments.check, arguments.stages) else FAILED


def _check_config(arguments: argparse.Namespace) -> int:
    print(report(load(arguments.folder), arguments.agent), end="")
    return OK


def _verify(arguments: argparse.Namespace) -> int:
    folder = arguments.folder or read_collector_file(arguments.config).state_directory
    path = folder / JOURNAL
    found = verify(path)
    if found.first is None:
        print(f"{path}: no entries")
    else:
        print(f"{path}: {found.entries} entries, {found.first} to {found.last}")
    if found.broken:
        print(f"not what was written, or missing: {found.broken}, the first is {found.broken_at}")
    return FAILED if found.broken else OK


def _backup(arguments: argparse.Namespace) -> int:
    state = read_collector_file(arguments.config).state_directory
    made = backup(state, arguments.folder, time.time())
    size = sum(file.size for file in made.files) / 1e6
    print(f"{arguments.folder}: {size:.1f} MB, journal up to entry {made.newest_entry}")
    return OK


def _restore(arguments: argparse.Namespace) -> int:
    state = read_collector_file(arguments.config).state_directory
    made = restore(arguments.folder, state, time.time())
    print(
        f"{state}: as of {_minute(made.made_at)}, journal up to entry {made.newest_entry}\n"
        "What agents handed over after that they send again where they still have it; what they have"
        " deleted is lost, and the ledger names it.\n"
        "Tokens made since then are unknown, tokens revoked since then are valid again:"
        " see thongsuot-collector agent list."
    )
    return OK


def _access(arguments: argparse.Namespace) -> Access:
    return Access(read_collector_file(arguments.config).state_directory / "access.sqlite")


def _add(arguments: argparse.Namespace) -> int:
    print(_access(arguments).add(arguments.agent, time.time()))
    return OK


def _rotate(arguments: argparse.Namespace) -> int:
    access = _access(arguments)
    print(access.rotate(arguments.agent, time.time(), grace_seconds=arguments.grace_hours * 3600))
    return OK


def _revoke(arguments: argparse.Namespace) -> int:
    ended = _access(arguments).revoke(arguments.agent, time.time())
    print(f"{arguments.agent}: {ended} valid tokens revoked", file=sys.stderr)
    return OK


def _list(arguments: argparse.Namespace) -> int:
    now = time.time()
    print(f"{'agent':24} {'created':17} {'last used':17} state")
    for token in _access(arguments).tokens():
        state = "valid"
        if token.ends_at is not None:
            word = "revoked" if token.ended_by == "revoke" else "replaced"
            state = f"{word}, valid until" if token.ends_at > now else word
            state += f" {_minute(token.ends_at)}"
        print(
            f"{token.agent:24} {_minute(token.created_at):17} {_minute(token.last_used_at):17} {state}"
        )
    return OK


def _minute(moment: float | None) -> str:
    if moment is None:
        return "never"
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%MZ}"


if __name__ == "__main__":
    main()
