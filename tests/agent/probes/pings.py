"""Pinging, as the tests of the ICMP probe and of its engine do it."""

from agent.probes.base import Env, Recorder
from agent.probes.echo import EchoEngine
from agent.probes.icmp import Icmp
from tests.agent.probes.attempts import attempt

FAST = {"spacing_seconds": 0.01, "wait_seconds": 0.2}


async def ping(env: Env, name: str, **params) -> Recorder:
    """Ping once, fast."""
    return await attempt(Icmp, env, name, **{**FAST, **params})


def engine(env: Env, key: str = "icmp4") -> EchoEngine:
    """Return the engine of a line that has been pinged over."""
    return env._kept[key]
