"""The machine's clocks: what they read, whether anyone keeps them right."""

import ctypes
import time
from pathlib import Path

from agent.wire import Stamp

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
STA_UNSYNC = 0x0040


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)); the kernel writes the padding's bytes too."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("padding", ctypes.c_byte * 256),
    )


def read_stamp() -> Stamp:
    """Read both clocks of the machine."""
    return Stamp(
        wall_ms=time.time_ns() // 1_000_000,
        mono_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )


def machine_boot() -> str:
    """Return the kernel's name for this run of the machine: 32 hex digits."""
    return BOOT_ID.read_text("ascii").strip().replace("-", "")


def synchronised() -> bool:
    """Whether some time service has told the kernel that the wall clock is right.

    False also where the kernel may not be asked (a container): not known is not synchronised.
    """
    timex = _Timex(modes=0)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        return False
    return not timex.status & STA_UNSYNC


def slept_seconds() -> float:
    """Return how long the machine was suspended since it was switched on."""
    clocks = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC
    through, awake = (time.clock_gettime(clock) for clock in clocks)
    return max(0.0, through - awake)
