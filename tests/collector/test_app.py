import asyncio
import gzip
import json
import random
import time

import msgspec
import pytest

from agent.config import decode_agent_config
from agent.wire import BACKLOG_PRIORITY, MAX_PUSH_BYTES, MAX_PUSH_INFLATED_BYTES, Refusal
from collector.ingest.chain import verify
from collector.ingest.writer import Writer
from tests.collector.ingest.pushes import BOOT, batch, body, sample, zipped
from tests.collector.inventory import folders
from tests.collector.served import AGENT, OTHER, served
from tests.waiting import until


@pytest.fixture
async def here(tmp_path):
    """Return a running collector."""
    async with served(tmp_path) as running:
        yield running


async def test_a_push_is_kept_and_acknowledged(here):
    """What is acknowledged is in the journal, with the bytes the agent sent."""
    before = time.time()
    answer = await here.push(batch(1), batch(2), batch(5))
    assert before <= answer.received_at <= answer.answered_at <= time.time()
    assert [(ack.boot, ack.ranges) for ack in answer.acks] == [(BOOT, [(1, 2), (5, 5)])]
    assert answer.config == here.centre.told(AGENT).version > 0
    kept = await here.centre.journal.read(0, 10)
    assert [one.body for one in kept] == [msgspec.json.encode(batch(seq)) for seq in (1, 2, 5)]
    assert verify(here.centre.journal.path).entries == 3


async def test_batches_of_several_boots_are_acknowledged_apart(here):
    """What an old boot left behind comes beside the new one's."""
    answer = await here.push(batch(1), batch(9, boot="old"), batch(2))
    assert {ack.boot: ack.ranges for ack in answer.acks} == {BOOT: [(1, 2)], "old": [(9, 9)]}


async def test_a_heartbeat_leaves_no_trace_in_the_journal(here):
    """A push without batches is heard, and has nothing to acknowledge."""
    answer = await here.push()
    assert answer.acks == []
    assert await here.kept() == []
    assert here.centre.fleet.agents[AGENT].contact == "live"


async def test_the_same_batch_over_two_lines_is_kept_once(here):
    """A late answer makes an agent send again over its other line: both are acknowledged."""
    answers = await asyncio.gather(*(here.push(batch(1)) for _ in range(4)))
    assert all(answer.acks[0].ranges == [(1, 1)] for answer in answers)
    assert await here.kept() == [(AGENT, 1)]
    assert here.metric("thongsuot_ingest_duplicates_total") == 3


async def test_a_copied_disk_is_found(here):
    """Other bytes under an identity that is taken: acknowledged, counted, the first ones stay."""
    await here.push(batch(1))
    await here.push(batch(1, samples=[]))
    await until(lambda: here.metric("thongsuot_ingest_conflicts_total") == 1, what="counted")
    assert len((await here.centre.journal.read(0, 10))[0].batch.samples) == 1


async def test_what_the_inventory_does_not_know_is_kept_and_shown_nowhere(here):
    """A check that left the folder still reports for a while: journalled, counted, no label."""
    unknown = sample(check="gone", target='x"} 1\nevil 1', kind="icmp")
    await here.push(batch(1, samples=[unknown, sample(check="gateway", target="192.0.2.1")]))
    assert await here.kept() == [(AGENT, 1)]
    unknown = "thongsuot_ingest_unknown_series_samples_total"
    await until(lambda: here.metric(unknown) == 1, what="counted")
    _, _, page = await here.get("/metrics")
    assert b'check="gateway"' in page
    assert b"gone" not in page
    assert b"evil" not in page


BOMB = gzip.compress(bytes(MAX_PUSH_INFLATED_BYTES + 1))
TOKEN = "Authorization: expected 'Bearer ts1.<agent>.<secret>', the agent's token"
REFUSED = {
    "no token": (zipped(batch()), {"Authorization": ""}, 401, "unauthorised", TOKEN),
    "an unknown token": (
        zipped(batch()),
        {"Authorization": "Bearer ts1.04792.x"},
        401,
        "unauthorised",
        "no such token for agent '04792'",
    ),
    "another agent's push": (
        zipped(batch(), agent=OTHER),
        {},
        403,
        "wrong_agent",
        "$.agent is '07900', but the token is that of '04792'",
    ),
    "another agent's batch": (
        zipped(batch(), batch(2, agent=OTHER)),
        {},
        403,
        "wrong_agent",
        "$.batches[1].agent is '07900', but the token is that of '04792'",
    ),
    "no gzip": (
        body(batch()),
        {},
        400,
        "malformed",
        "the body is not gzip, as Content-Encoding says: Error -3 while decompressing data: incorrect header check",
    ),
    "half a gzip": (
        zipped(batch())[:-20],
        {},
        400,
        "malformed",
        "the gzip body ends before its end mark",
    ),
    "an unknown encoding": (
        zipped(batch()),
        {"Content-Encoding": "br"},
        415,
        "malformed",
        "Content-Encoding is 'br', expected gzip",
    ),
    "a bomb": (BOMB, {}, 413, "too_large", "the body inflates to more than 8388608 bytes"),
    "too much": (
        bytes(MAX_PUSH_BYTES + 1),
        {},
        413,
        "too_large",
        "the body is larger than 1048576 bytes",
    ),
    "nothing": (b"", {}, 400, "malformed", "the gzip body ends before its end mark"),
    "no JSON": (
        gzip.compress(b"hello"),
        {},
        400,
        "malformed",
        "$: JSON is malformed: invalid character (byte 0)",
    ),
    "a bad batch behind a good one": (
        gzip.compress(body(batch(), batch(2)).replace(b'"seq":2', b'"seq":0')),
        {},
        400,
        "malformed",
        "$.batches[1].seq: expected int >= 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_push_is_refused_whole(here, name):
    """Each mistake has its status, its code and its sentence, and nothing of the push is kept."""
    bad, headers, status, code, sentence = REFUSED[name]
    found, sent, answer = await here.send(bad, headers={**here.headers(), **headers})
    assert (found, msgspec.json.decode(answer, type=Refusal)) == (
        status,
        Refusal(error=sentence, code=code),
    )
    assert sent["Content-Type"].startswith("application/json")
    assert ("WWW-Authenticate" in sent) == (status == 401)
    assert await here.kept() == []
    assert here.metric(f'thongsuot_ingest_refused_total{{code="{code}"}}') == 1
    await here.push(batch(1))
    assert await here.kept() == [(AGENT, 1)]


async def test_a_body_that_never_says_how_long_it_is_is_cut_off(here):
    """Chunk after chunk is counted while it comes."""

    async def endless():
        while True:
            yield bytes(64 << 10)

    async with (
        asyncio.timeout(5),
        here.session.post(
            f"{here.url}/api/v1/batches", data=endless(), headers=here.headers()
        ) as answer,
    ):
        assert answer.status == 413
    await here.push(batch(1))


async def test_a_revoked_token_is_refused_at_the_next_push(here):
    """Whoever revokes need not wait for a restart."""
    await here.push(batch(1))
    here.centre.access.revoke(AGENT, time.time())
    status, _, answer = await here.send(zipped(batch(2)))
    assert (status, json.loads(answer)) == (
        403,
        {"code": "revoked", "error": "this token of agent '04792' was revoked"},
    )
    assert await here.kept() == [(AGENT, 1)]


async def test_nothing_that_is_sent_makes_a_5xx_or_a_partial_write(here):
    """Random bytes, exchanged bytes, exchanged values: taken whole or refused whole."""
    chance = random.Random(2025)
    good = body(batch(1), batch(2), batch(3))
    numbers = iter(range(10, 10_000, 3))
    before = 0
    for _ in range(400):
        first = next(numbers)
        text = bytearray(
            good.replace(b'"seq":1', b'"seq":%d' % first)
            .replace(b'"seq":2', b'"seq":%d' % (first + 1))
            .replace(b'"seq":3', b'"seq":%d' % (first + 2))
        )
        match chance.randrange(4):
            case 0:
                text = bytearray(chance.randbytes(chance.randrange(200)))
            case 1:
                place = chance.randrange(len(text))
                text[place : place + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
            case 2:
                words = (
                    b"null",
                    b"[]",
                    b"{}",
                    b'""',
                    b"-1",
                    b"1e999",
                    b"NaN",
                    b"true",
                    b'"\\ud800"',
                )
                place = text.index(b":", chance.randrange(len(text) - 200)) + 1
                end = min(i for i in (text.find(b",", place), text.find(b"}", place)) if i > 0)
                text[place:end] = chance.choice(words)
            case _:
                pass
        packed = bytearray(gzip.compress(bytes(text), 1))
        if chance.random() < 0.2:
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        status, _, answer = await here.send(bytes(packed))
        assert status == 200 or 400 <= status < 500, (status, answer, text)
        kept = here.centre.journal.newest_id
        if status != 200:
            assert msgspec.json.decode(answer, type=Refusal).error
            assert kept == before
        before = kept
    assert before > 100
    assert verify(here.centre.journal.path).broken_at is None


async def test_no_answer_comes_before_the_disk_has_it(here, monkeypatch):
    """While the commit waits for the disk, so do all agents of its group; one commit serves all."""
    release, groups = asyncio.Event(), []
    commit, loop = Writer.commit, asyncio.get_running_loop()

    def slow(self, group, now):
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(5)
        groups.append(len(group))
        return commit(self, group, now)

    monkeypatch.setattr(Writer, "commit", slow)
    waiting = [asyncio.create_task(here.push(batch(seq))) for seq in range(1, 9)]
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
    assert await here.kept() == []
    release.set()
    await asyncio.gather(*waiting)
    assert len(await here.kept()) == sum(groups) == 8
    assert len(groups) <= 2


async def test_backlog_waits_for_its_turn_and_what_is_live_does_not(here, monkeypatch):
    """A second large push that can wait is not begun before the first has ended; a live one is."""
    release, begun = asyncio.Event(), asyncio.Event()
    commit, loop = Writer.commit, asyncio.get_running_loop()

    def slow(self, group, now):
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(5)
        return commit(self, group, now)

    monkeypatch.setattr(Writer, "commit", slow)
    chance = random.Random(3)
    big = [
        sample(facts={str(n): chance.randbytes(1_000).hex() for n in range(64)}) for _ in range(2)
    ]
    late = here.headers() | {"Priority": BACKLOG_PRIORITY}
    first = asyncio.create_task(here.send(zipped(batch(1, samples=big)), headers=late))
    await begun.wait()
    second = asyncio.create_task(here.send(zipped(batch(2, samples=big)), headers=late))
    await asyncio.sleep(0.2)
    live = asyncio.create_task(here.send(zipped(batch(3))))
    await asyncio.sleep(0.2)
    release.set()
    assert [(await answer)[0] for answer in (first, second, live)] == [200] * 3
    assert await here.kept() == [(AGENT, 1), (AGENT, 3), (AGENT, 2)]


async def test_a_full_disk_is_told_and_costs_no_liveness(here):
    """503 busy: agents keep what they have; the site is no silent one because of our disk."""
    await here.push()
    database = here.centre.journal._writer._database
    database.execute(f"PRAGMA max_page_count = {database.pragma('page_count')}")
    big = [sample(facts={str(n): random.Random(n).randbytes(900).hex() for n in range(60)})]
    status, headers, answer = await here.send(zipped(batch(1, samples=big), machine_boot="c4" * 16))
    assert (status, headers["Retry-After"], json.loads(answer)) == (
        503,
        "1",
        {"code": "busy", "error": "the journal cannot be written: database or disk is full"},
    )
    assert here.centre.fleet.agents[AGENT].contact == "live"
    assert here.centre._intake._clocks.anchor(AGENT, "c4" * 16) is None
    status, _, answer = await here.get("/-/ready")
    assert (status, json.loads(answer)["error"]) == (
        503,
        "the journal cannot be written: database or disk is full",
    )
    assert (await here.push(batch(1, samples=big))).acks[0].ranges == [(1, 1)]
    assert (await here.get("/-/ready"))[0] == 200


async def test_an_agent_gone_mad_is_held_back(here, monkeypatch):
    """Beyond its share an agent is asked to wait; others are not."""
    monkeypatch.setattr("collector.ingest.intake.BURST_BYTES", 40_000)
    monkeypatch.setattr("collector.ingest.intake.BYTES_PER_SECOND", 100)
    assert [(await here.send(zipped()))[0] for _ in range(3)] == [200, 200, 429]
    await here.push(agent=OTHER)


async def test_each_agent_is_told_its_own(here):
    """The configuration is the agent's own, decodes as the agent decodes it, and has a tag."""
    for agent in (AGENT, OTHER):
        status, headers, answer = await here.get(
            "/api/v1/config", Authorization=f"Bearer {here.token(agent)}"
        )
        config = decode_agent_config(answer, agent)
        assert (status, headers["ETag"]) == (200, f'"{config.version}"')
        assert config.agent == agent
        assert config.checks


async def test_what_is_known_is_not_sent_again(here):
    """If-None-Match with the tag in force is answered 304, without a body."""
    authorization = f"Bearer {here.token()}"
    _, headers, _ = await here.get("/api/v1/config", Authorization=authorization)
    tag = headers["ETag"]
    for known in (tag, f'"1", {tag}', f"W/{tag}"):
        status, headers, answer = await here.get(
            "/api/v1/config", Authorization=authorization, If_None_Match=known
        )
        assert (status, headers["ETag"], answer) == (304, tag, b"")
    status, _, _ = await here.get(
        "/api/v1/config", Authorization=authorization, If_None_Match='"1"'
    )
    assert status == 200


async def test_an_agent_the_province_does_not_have_is_told_so(here):
    """A token can be older than the folder: 404, and version 0 in answers."""
    token = here.token("99999")
    status, _, answer = await here.get("/api/v1/config", Authorization=f"Bearer {token}")
    assert (status, json.loads(answer)) == (
        404,
        {"code": "not_found", "error": "the province has no agent '99999'"},
    )
    answered = await here.push(batch(1, agent="99999"), agent="99999")
    assert (answered.config, answered.acks[0].ranges) == (0, [(1, 1)])


async def test_a_version_rises_with_its_content_only_and_never_goes_back(tmp_path):
    """A changed folder raises the versions it touches, also over restarts, and no others."""
    async with served(tmp_path) as here:
        before = {agent: here.centre.told(agent) for agent in (AGENT, OTHER)}
    async with served(tmp_path) as here:
        assert {agent: here.centre.told(agent) for agent in (AGENT, OTHER)} == before
        checks = folders.CHECKS.replace("timeout_seconds: 2", "timeout_seconds: 3")
        (here.folder / "checks.yml").write_text(checks, "utf-8")
        await here.centre.reload()
        await until(lambda: here.centre.told(AGENT) != before[AGENT], what="numbered anew")
        raised = here.centre.told(AGENT)
        assert raised.version > before[AGENT].version
        (here.folder / "checks.yml").write_text(folders.CHECKS, "utf-8")
        await here.centre.reload()
        await until(lambda: here.centre.told(AGENT) != raised, what="numbered anew")
        assert here.centre.told(AGENT).version > raised.version
