"""Tellers: the commands that tell of the past, and where their flags go."""

import argparse
import sys
from collections.abc import Callable

from collector.config import read_collector_file
from collector.evidence_export import export
from collector.inventory.load import load
from collector.ledger_command import ledger
from collector.wall.locale import TEXTS

LANG_HELP = "of the text (default vi)"
_TIME_HELP = "the province's time: 2025-07-01 or 2025-07-01T09:30"


def add_tellers(
    add: Callable[..., argparse.ArgumentParser],
) -> tuple[argparse.ArgumentParser, ...]:
    """Add the commands to the parser; return those that take --config too."""
    evidence = add("evidence", help="print what was seen from one place when its checks failed")
    evidence.add_argument("--site", required=True, metavar="CODE", help="its id, such as 04792")
    evidence.add_argument("--from", dest="begin", default="", metavar="TIME", help=_TIME_HELP)
    evidence.add_argument("--to", dest="end", default="", metavar="TIME", help="a day: to its end")
    evidence.add_argument("--lang", choices=sorted(TEXTS), default="vi", help=LANG_HELP)
    evidence.add_argument("--json", action="store_true", help="everything, for programs")
    evidence.set_defaults(command=_evidence)

    ledger_ = add(
        "ledger", help="say what was to be measured, what is stored, and where the rest is"
    )
    ledger_.add_argument("--site", default="", metavar="CODE", help="one place in full")
    ledger_.add_argument("--from", dest="begin", default="", metavar="TIME", help=_TIME_HELP)
    ledger_.add_argument(
        "--to", dest="end", default="", metavar="TIME", help="a day: to its end; whole hours"
    )
    ledger_.add_argument("--lang", choices=sorted(TEXTS), default="vi", help=LANG_HELP)
    ledger_.add_argument("--json", action="store_true", help="everything, for programs")
    ledger_.set_defaults(command=_ledger)
    return evidence, ledger_


def _evidence(arguments: argparse.Namespace) -> int:
    config = read_collector_file(arguments.config)
    said = export(
        config,
        load(config.province),
        arguments.site,
        begin=arguments.begin,
        end=arguments.end,
        lang=arguments.lang,
        as_json=arguments.json,
    )
    sys.stdout.write(said)
    return 0


def _ledger(arguments: argparse.Namespace) -> int:
    config = read_collector_file(arguments.config)
    said = ledger(
        config,
        load(config.province),
        arguments.site,
        begin=arguments.begin,
        end=arguments.end,
        lang=arguments.lang,
        as_json=arguments.json,
    )
    sys.stdout.write(said)
    return 0
