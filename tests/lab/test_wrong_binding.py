"""A line that is not on this PC is our own mistake: no probe blames its target for it."""

from pathlib import Path

import msgspec
import pytest

from agent.config import read_agent_file
from agent.probes import PROBES
from agent.probes.base import Env, Source, Target
from agent.runner import Run, attempt
from agent.wire import Slot

pytestmark = pytest.mark.real

EXAMPLE = Path(__file__).parents[2] / "configs/agent.example.yml"
OPEN_NO_SOCKET = {"pc", "nic"}
"""They read files of this machine."""
WRONG = {
    "192.0.2.1: Cannot assign requested address": Source(address="192.0.2.1"),
    "nosuch0: No such device": Source(interface="nosuch0"),
}


@pytest.mark.parametrize("why", WRONG)
@pytest.mark.parametrize("expect", ["reachable", "unreachable"])
@pytest.mark.parametrize("kind", sorted(PROBES.keys() - OPEN_NO_SOCKET))
async def test_is_an_error_and_no_failure(office, pki, kind, expect, why):
    """Whatever the check expects: nothing was measured, so nothing is said of the target."""

    async def resolve(host, ip_version):
        return ["192.0.2.9"]

    example = next(check for check in read_agent_file(EXAMPLE).checks if check.kind == kind)
    files = {name: str(pki.ca_file) for name in example.params if name.endswith("_file")}
    check = msgspec.structs.replace(example, expect=expect, params=example.params | files)
    env = Env(resolve=resolve)
    probe = PROBES[kind](msgspec.convert(check.params, PROBES[kind].Params, strict=True), env)
    slot = Slot(
        id="1", check=check.id, target="", starts_in=0, max_seconds=5, max_bytes=1 << 20,
        session=1, lease=bytes(48), key=bytes(32),
    )  # fmt: skip
    target = Target(check.targets[0], "vnpt", WRONG[why], slot)
    sample = await attempt(Run(check, probe, target, {}), 1)
    env.close()

    assert sample.error == f"cannot use line at {why}"
    assert (sample.failure, sample.detail) == (None, "")
    assert sample.counters == {"errors": 1}
    assert sample.duration < 1
