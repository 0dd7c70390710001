"""Clocks of a process's own, whose wall is set while it runs: the machine's are everybody's."""

import subprocess
import sys
from pathlib import Path

from agent.clock import read_stamp
from tests.e2e.province import Program
from tests.programs import program

SOURCE = """\
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
  const char *path = getenv("WALL_FILE");
  long seconds = 0;
  FILE *file = path ? fopen(path, "r") : 0;
  if (file) {
    if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
    fclose(file);
  }
  return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = syscall(SYS_clock_gettime, clock, at);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
  return failed;
}
time_t time(time_t *out) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (out) *out = at.tv_sec;
  return at.tv_sec;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  out->tv_sec = at.tv_sec;
  out->tv_usec = at.tv_nsec / 1000;
  return 0;
}
"""


class WallClock:
    """Shows the time of this machine and so many seconds more, to whom it was given."""

    def __init__(self, folder: Path) -> None:
        """Build what is loaded before the C library; `folder` is there."""
        self._library, self._file = folder / "wall.so", folder / "wall"
        (folder / "wall.c").write_text(SOURCE, "ascii")
        compiler = [program("gcc"), "-O2", "-shared", "-fPIC", "-o", self._library]
        subprocess.run([*compiler, folder / "wall.c"], check=True, timeout=60)
        self.set(0)

    def given_to(self, started: Program) -> None:
        """Let a process go by this clock from its next start."""
        started.command = [
            "env",
            f"LD_PRELOAD={self._library}",
            f"WALL_FILE={self._file}",
            *started.command,
        ]

    def set(self, seconds: int) -> None:
        """Set it while it runs."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds), "ascii")
        new.replace(self._file)


def machine(folder: Path, number: int, *, uptime: float) -> list[str]:
    """Return the command of an agent on a machine that started so many seconds ago, as this run."""
    name = folder / f"machine-{number}"
    name.write_text(f"{number:032x}\n")
    offset = round(uptime - read_stamp().mono_ns / 1e9)
    code = (
        "from pathlib import Path; from agent import clock;"
        f"clock.BOOT_ID = Path({str(name)!r});"
        "from agent.__main__ import main; main()"
    )
    clocks = ["--boottime", str(offset), "--monotonic", str(offset)]
    return ["unshare", "--time", *clocks, sys.executable, "-c", code]
