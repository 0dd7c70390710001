"""Waiting on a condition with a deadline: never for luck."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T], *, seconds: float = 5.0, what: str = "") -> T:
    """Return the condition's first true value; AssertionError naming it after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        await asyncio.sleep(0.01)
    return value


def until_sync(condition: Callable[[], T], *, seconds: float = 5.0, what: str = "") -> T:
    """Do the same where no loop runs."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.01)
    return value
