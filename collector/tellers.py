"""Tellers: the commands that tell of the past, and where their flags go."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from collector.config import read_collector_file
from collector.evidence_export import export
from collector.explain_command import explain_site
from collector.inventory.load import load
from collector.ledger_command import ledger
from collector.openmetrics_command import export_openmetrics
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

    doing = add("export", help="write measurements for other programs").add_subparsers(
        required=True, metavar="FORMAT"
    )
    openmetrics = doing.add_parser(
        "openmetrics", help="with their own times, for promtool: what a receiver is too late for"
    )
    openmetrics.add_argument("--from", dest="begin", required=True, metavar="TIME", help=_TIME_HELP)
    openmetrics.add_argument(
        "--to",
        dest="end",
        required=True,
        metavar="TIME",
        help="a day: to its end; for Prometheus 3 hours ago or more",
    )
    openmetrics.add_argument("--site", default="", metavar="CODE", help="one place only")
    openmetrics.add_argument("out", type=Path, metavar="OUT", help="the file to make")
    openmetrics.set_defaults(command=_openmetrics)

    why = add("explain", help="say what is known of one place, and which rule decided what is told")
    why.add_argument("--site", required=True, metavar="CODE", help="its id, such as 04792")
    why.add_argument("--at", default="", metavar="TIME", help=f"from the journal; {_TIME_HELP}")
    why.set_defaults(command=_explain)
    return evidence, ledger_, openmetrics, why


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


def _explain(arguments: argparse.Namespace) -> int:
    config = read_collector_file(arguments.config)
    said = explain_site(config, load(config.province), arguments.site, arguments.at)
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


def _openmetrics(arguments: argparse.Namespace) -> int:
    config = read_collector_file(arguments.config)
    exported = export_openmetrics(
        config,
        load(config.province),
        arguments.out,
        begin=arguments.begin,
        end=arguments.end,
        site=arguments.site,
        now=time.time(),
    )
    sys.stdout.write(f"{exported.said}\n")
    sys.stderr.writelines(f"{note}\n" for note in exported.notes)
    return 0
