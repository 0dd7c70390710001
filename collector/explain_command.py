"""What `thongsuot-collector explain` prints: a site's facts, and the rule that decided.

Of now, the running collector is asked over its control door. Of the past, the journal is gone
through again from BEFORE_SECONDS earlier; the state directory may be a stopped collector's.
"""

import http.client
import socket
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from agent.wire import Refusal
from collector.backup import JOURNAL
from collector.config import CollectorConfig
from collector.control import door
from collector.database import Database, open_reader
from collector.diagnosis.explain import explain
from collector.diagnosis.replay import Replay
from collector.evidence_export import ExportError, moment
from collector.ingest import entries
from collector.ingest.chain import last_before, read_head, read_rows
from collector.ingest.entries import Entry
from collector.inventory.model import Inventory

BEFORE_SECONDS = 1_800.0
"""Six runs of a check that is asked every five minutes, and the incidents of half an hour."""
READ_AT_ONCE = 500
ANSWER_SECONDS = 10.0


def explain_now(config: CollectorConfig, site: str) -> str:
    """Return what the running collector knows. ExportError for people; OSError: it does not run."""
    with door(config.state_directory) as path, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(path)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        connection.request("GET", f"/explain?{urlencode({'site': site})}")
        response = connection.getresponse()
        body = response.read()
    if response.status != http.client.OK:
        raise ExportError(msgspec.json.decode(body, type=Refusal).error)
    return body.decode()


def explain_at(config: CollectorConfig, inventory: Inventory, site: str, at: str) -> str:
    """Return what was known at a moment. ExportError for people."""
    if site not in inventory.sites:
        raise ExportError(f"{site}: expected a site of {config.province}")
    then = moment(at, inventory)
    if then is None:
        raise ExportError("--at: expected 2025-07-01T09:30")
    path = config.state_directory / JOURNAL
    replay = Replay(inventory, then - BEFORE_SECONDS)
    try:
        with closing(open_reader(path)) as database:
            for entry in _entries(database, then - BEFORE_SECONDS):
                if entry.received_at > then:
                    break
                replay.take([entry])
    except sqlite3.Error as exc:
        raise ExportError(f"{path}: cannot be read: {exc}") from exc
    replay.until(then)
    return explain(site, replay.fleet, replay.incidents, replay.now)


def explain_site(config: CollectorConfig, inventory: Inventory, site: str, at: str) -> str:
    """Return what is or was known of a site. ExportError for people."""
    if at:
        return explain_at(config, inventory, site, at)
    try:
        return explain_now(config, site)
    except OSError as exc:
        raise ExportError(
            f"{_socket(config)}: the collector does not answer ({exc}); of the past: --at TIME"
        ) from exc


def _socket(config: CollectorConfig) -> Path:
    return config.state_directory / "control.sock"


def _entries(database: Database, since: float) -> Iterator[Entry]:
    after, newest = last_before(database, since), read_head(database).id
    while after < newest:
        rows = list(read_rows(database, after, READ_AT_ONCE))
        for _, row in rows:
            if row is None:
                continue
            try:
                yield entries.entry_of(entries.facts_of(row))
            except (ValueError, struct.error, zlib.error):
                continue  # what the disk lost explains nothing
        after = rows[-1][0] if rows else after + READ_AT_ONCE
