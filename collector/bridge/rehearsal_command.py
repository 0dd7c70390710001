"""`thongsuot-collector rehearsal`: asks the running collector over its control door, and tells."""

import http.client
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from agent.wire import Refusal
from collector.bridge.rehearsal import Report
from collector.bridge.rehearsal_words import (
    LANGUAGES,
    Words,
    plan_lines,
    report_lines,
    stage_line,
)
from collector.bridge.rehearsals import Plan, RehearsalError
from collector.control import door

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 10.0
GOOD_ENDS = frozenset({"done", "trunk"})
"""Ends that are findings about the trunk, not about what is broken."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self._path)


class Command:
    """One call of the command. RehearsalError: the collector refuses; OSError: it does not run."""

    def __init__(self, state: Path, lang: str, json_file: Path | None) -> None:
        self._state = state
        self._words: Words = LANGUAGES[lang]
        self._json_file = json_file

    def plan(self, check: str, stages: str) -> None:
        """Say what would be loaded."""
        asked = {"check": check, "stages": stages}
        answer = self._ask("GET", f"/rehearsal/plan?{urlencode(asked)}")
        for line in plan_lines(msgspec.json.decode(answer, type=Plan), self._words):
            _say(line)

    def ask_for_consent(self) -> None:
        """Say what is needed to go on."""
        _say(self._words.ask)

    def run(self, check: str, stages: str) -> bool:
        """Run to the end; whether what was found is the trunk's capacity. Ctrl-C ends it."""
        asked = {"check": check, "stages": stages}
        report = _report(self._ask("POST", f"/rehearsal?{urlencode(asked)}"))
        said: set[str] = set()
        try:
            while report.state != "over":
                time.sleep(LOOK_SECONDS)
                report = _report(self._ask("GET", "/rehearsal"))
                for stage in report.stages:
                    line = stage_line(stage, self._words)
                    if stage.begins is not None and line not in said:
                        said.add(line)
                        _say(line)
        except KeyboardInterrupt:
            report = _report(self._ask("DELETE", "/rehearsal"))
        return self._tell(report)

    def abort(self) -> bool:
        """End what is under way; whether there was anything."""
        answer = self._ask("DELETE", "/rehearsal")
        if answer == b"null":
            _say(self._words.none)
            return False
        report = _report(answer)
        return self._tell(report) or report.end == "aborted"

    def _tell(self, report: Report) -> bool:
        _say("")
        for line in report_lines(report, self._words):
            _say(line)
        if self._json_file:
            self._json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        return report.end in GOOD_ENDS

    def _ask(self, method: str, path: str) -> bytes:
        with door(self._state) as way:
            connection = _Connection(way)
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read()
            except (FileNotFoundError, ConnectionRefusedError) as exc:
                raise RehearsalError(
                    f"no collector runs on {self._state}: start it, or name its collector.yml"
                ) from exc
            finally:
                connection.close()
        if answer.status != http.client.OK:
            raise RehearsalError(msgspec.json.decode(body, type=Refusal).error)
        return body


def _report(body: bytes) -> Report:
    return msgspec.json.decode(body, type=Report)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
