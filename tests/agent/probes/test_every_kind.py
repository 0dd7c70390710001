"""One law for every kind of probe: no peer, however bad, makes it err, wait, invent or leak.

Each kind is set upon peers that are none of its kind, at the port where its own `tried` has a good
one. A new kind is judged as soon as it stands in PROBES. Which are not: those whose target names no
port of this machine, as there is nobody else to put there.
"""

import asyncio
import dataclasses
import math
import random
import re
from importlib import import_module
from typing import NamedTuple

import pytest

from agent.config import Check
from agent.probes import PROBES
from agent.probes.base import Env, Recorder
from agent.runner import attempt, make_runs
from agent.wire import Failure, Sample
from tests.agent.probes.attempts import open_files
from tests.agent.probes.bad_peers import (
    Cut,
    Dead,
    Lying,
    Parrot,
    Peer,
    Refusing,
    standing,
    turns,
)
from tests.agent.probes.floods import flooding
from tests.agent.probes.tries import Tried
from tests.waiting import until

PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
TIMEOUT_SECONDS = 1.5
SLACK_SECONDS = 1.0
"""For a machine that has others to serve; a probe that holds its loop is later than that."""
OURS = {"all_success_count", "all_success_sum", "all_duration_seconds_sum"}
MEASURED = re.compile(r"_(seconds|bytes|ratio)$")
UNANSWERED = {"resolve", "connect", "tls", "processing"}
"""Phases that end without a word of the kind's own protocol; the last with HTTP's first byte."""


class Bad(NamedTuple):
    """A peer, and how it is called when it was not borne."""

    name: str
    peer: Peer
    speaks: bool = False
    """Whether what it says begins as some protocol does: then something can be measured."""


def strangers() -> list[Bad]:
    """Return those who do not listen or not answer, say what nobody knows, or speak otherwise."""
    nothing = {"zeros": bytes(512), "a word": b"ok\r\n"}
    nothing |= {f"noise {n}": random.Random(n).randbytes(300 * n) for n in (1, 2, 3)}
    another = {
        "HTTP": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        "a TLS alert": b"\x15\x03\x03\x00\x02\x02\x28",
        "SMTP": b"220 mail.test ESMTP\r\n",
        "SIP": b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    }
    liars = []
    for name, lie in {**nothing, **another}.items():
        liars.append(Bad(f"lying: {name}", Lying(lie), speaks=name in another))
        liars.append(Bad(f"slow: {name}", Lying(lie, 1, 0.05), speaks=name in another))
    quiet = {"dead": Dead(), "hung": Peer(), "refusing": Refusing(), "a parrot": Parrot()}
    return [*(Bad(name, peer) for name, peer in quiet.items()), *liars]


class Strict(Recorder):
    """Takes down only what is a number: the runner would leave the rest out without a word."""

    def value(self, name: str, number: float, *words: str) -> None:
        """Refuse what is none."""
        assert math.isfinite(number), f"{name} is {number}"
        super().value(name, number, *words)


class Judge(NamedTuple):
    """What holds for the samples of one kind."""

    kind: str
    wordless: bool
    """Whether its good server says nothing: a connection is all that is asked for."""

    def complaints(
        self, bad: str, samples: list[Sample], *, speaks: bool, tls: bool = False
    ) -> list[str]:
        """Return what is wrong with what came of a peer."""
        probe = PROBES[self.kind]
        enough = self.wordless or (tls and probe.phases[-1] == "tls")
        declared = set().union(*(value.keys() for value in probe.values))
        found: list[str] = []
        if samples[-1].failure is None and (not enough or bad == "dead"):
            found.append("was found good")
        for sample in samples:
            if sample.error:
                found.append(f"error {sample.error!r}")
            if sample.failure is Failure.UNKNOWN:
                found.append(f"no word for {sample.detail!r}")
            if sample.duration > TIMEOUT_SECONDS + SLACK_SECONDS:
                found.append(f"took {sample.duration} s")
            if undeclared := {*sample.values, *sample.counters} - declared - OURS:
                found.append(f"not declared: {undeclared}")
            if undeclared := sample.phases.keys() - probe.phases:
                found.append(f"phases not declared: {undeclared}")
            if not all(0 <= seconds <= sample.duration for seconds in sample.phases.values()):
                found.append(f"phases that cannot be: {sample.phases} in {sample.duration} s")
            if sample.failure is not None and not speaks:
                found += _invented(sample)
        where = "in TLS, " if tls else ""
        return [f"{self.kind}, {where}{bad}: {words}" for words in found]


def _invented(sample: Sample) -> list[str]:
    """Return what was measured where nothing was said that could be."""
    found = [
        f"measured {key} = {number}"
        for key, number in sample.values.items()
        if MEASURED.search(key.partition(".")[0])
    ]
    ended = sample.phases.keys() - UNANSWERED
    return [*found, *(f"phase {name} is said to have ended" for name in ended)]


@pytest.fixture(scope="module")
def floods(pki):
    """Return where those stand who never end."""
    with flooding(pki.good) as ports:
        yield ports


@pytest.fixture
def strict(monkeypatch):
    """Take down numbers only."""
    monkeypatch.setattr("agent.runner.Recorder", Strict)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("kind", PROBES)
async def test_no_peer_is_too_bad(kind, env, pki, floods, caplog):
    """A failure with its word, in time; nothing that was not measured, said to a log or left open."""
    tries = import_module(f"tests.agent.probes.test_{kind}").tried
    before = open_files()
    async with tries(pki) as (good, _):
        own_port = PORT.search(good.target)
        if own_port is None:
            return
        relay = Cut(int(own_port[0]))
        async with standing(relay) as (port,):
            samples = await probe(kind, good, env, port, timeout_seconds=20.0)
            assert (samples[-1].failure, samples[-1].error) == (None, "")
        await turns()
    found: list[str] = []
    judge = Judge(kind, wordless=relay.passed_bytes == 0)

    async with tries(pki) as (good, _):
        cut = Cut(int(PORT.search(good.target)[0]), relay.passed_bytes // 2)
        for tls, bads in enumerate(([*strangers(), Bad("cut", cut, speaks=True)], strangers())):
            peers = (bad.peer for bad in bads)
            async with standing(*peers, tls=pki.good if tls else None) as ports:
                tried = await asyncio.gather(*(probe(kind, good, env, port) for port in ports))
            for bad, samples in zip(bads, tried, strict=True):
                found += judge.complaints(bad.name, samples, speaks=bad.speaks, tls=bool(tls))
        stands = [(name, port) for name, both in floods.items() for port in both]
        tried = await asyncio.gather(*(probe(kind, good, env, port) for _, port in stands))
        for (name, port), samples in zip(stands, tried, strict=True):
            speaks, tls = "flood" not in name, port == floods[name].tls
            found += judge.complaints(name, samples, speaks=speaks, tls=tls)
        await turns()
        open_files()  # which collects: what nobody awaited is told now
        logged = [record.getMessage() for record in caplog.records]
    await until(lambda: open_files() <= before, what="all is closed")

    assert not found, "\n".join(found)
    assert not logged, "\n".join(logged)


@pytest.mark.real
async def test_who_is_judged(pki):
    """Most kinds ask a port of this machine, and so fall under the law."""
    judged = set()
    for kind in PROBES:
        async with import_module(f"tests.agent.probes.test_{kind}").tried(pki) as (good, _):
            if PORT.search(good.target):
                judged.add(kind)

    print("under the law:", *sorted(judged))
    print("not under it:", *sorted(PROBES.keys() - judged))
    assert len(judged) > len(PROBES) / 2


async def probe(
    kind: str, tried: Tried, env: Env, port: int, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[Sample]:
    """Probe at another port, as the agent does."""
    check = Check(
        id=f"a-{kind}",
        kind=kind,
        targets=[PORT.sub(str(port), tried.target)],
        params=tried.params,
        interval_seconds=60.0,
        timeout_seconds=timeout_seconds,
    )
    (run,) = make_runs([check], [], env, counters={})
    run.target = dataclasses.replace(run.target, slot=tried.slot)
    return [await attempt(run, number) for number in range(tried.looks)]
