"""`thongsuot-agent`: flags, logging, signals, exit codes."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from agent import VERSION
from agent.config import AgentFile, Check, Line, read_agent_file
from agent.once import all_well, as_json, as_text, choose, left_out, samples
from agent.probes.base import Env, Health
from agent.probes.net import SystemResolver
from agent.remote_config import LastGood
from agent.service import Service
from agent.strict import ConfigError

OK, SOMETHING_FAILED, CONFIGURATION = 0, 1, 2
DEFAULT_FILE = Path("/etc/thongsuot/agent.yml")


def main() -> None:
    """Run one command."""
    arguments = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        sys.exit(arguments.command(arguments))
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        sys.exit(CONFIGURATION)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thongsuot-agent", description="Measures from one PC and hands it to the centre."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="measure until told to stop")
    run.set_defaults(command=_run)

    once = commands.add_parser("once", help="measure once, now, and say what was seen")
    once.add_argument("check", nargs="*", metavar="CHECK", help="ids of checks; none: all")
    once.add_argument("--json", action="store_true", help="one sample a line, as it would travel")
    once.set_defaults(command=_once)

    check = commands.add_parser("check-config", help="say whether agent.yml is right")
    check.set_defaults(command=_check_config)

    for command in (run, once, check):
        command.add_argument("-c", "--config", type=Path, default=DEFAULT_FILE, metavar="FILE")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    file = read_agent_file(arguments.config)
    # A media test's thread must not wait Python's 5 ms for the loop: its packets would leave late.
    sys.setswitchinterval(0.001)
    asyncio.run(_until_told(Service(file)))
    return OK


async def _until_told(service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await service.run(stop)


def _once(arguments: argparse.Namespace) -> int:
    file = read_agent_file(arguments.config)
    checks, lines = _in_force(file)
    health = Health(state_directory=str(file.state_directory.parent))
    env = Env(resolve=SystemResolver(), health=health)
    chosen = choose(checks, arguments.check)
    if not arguments.check:
        for why in left_out(checks, chosen):
            print(why, file=sys.stderr)
    found = asyncio.run(samples(chosen, lines, env))
    env.close()
    for line in (as_json if arguments.json else as_text)(found):
        print(line)
    return OK if all_well(found) else SOMETHING_FAILED


def _check_config(arguments: argparse.Namespace) -> int:
    file = read_agent_file(arguments.config)
    if not file.collector.token_file.is_file():
        raise ConfigError(
            [
                (
                    f"{arguments.config.name}: collector: token_file: {file.collector.token_file} "
                    f"is not there; the centre makes it: thongsuot-collector agent add {file.agent}"
                )
            ]
        )
    checks, lines = _in_force(file)
    print(f"{arguments.config}: agent {file.agent}, {len(checks)} checks, {len(lines)} lines")
    return OK


def _in_force(file: AgentFile) -> tuple[list[Check], list[Line]]:
    """Return the checks and lines of the centre's last good configuration, else the file's."""
    kept = LastGood(file.state_directory / "config.json", file.agent).read()
    return (kept.checks, kept.lines) if kept else (file.checks, file.lines)


if __name__ == "__main__":
    main()
