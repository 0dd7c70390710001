"""Turns: backlog in small pieces, in the order of its coming."""

import asyncio

import pytest

from collector.ingest.refused import Refused
from collector.ingest.turns import Turns
from tests.waiting import until


class Queue:
    """Pushes that want a turn, and who has one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.done: dict[str, asyncio.Event] = {}

    async def come(self, *names: str, size: int) -> None:
        """Let pushes come, one after the other."""
        for name in names:
            self.done[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name, size))
            await asyncio.sleep(0)

    async def _work(self, name: str, size: int) -> None:
        async with self.turns.take(size):
            self.inside.append(name)
            try:
                await self.done[name].wait()
            finally:
                self.inside.remove(name)

    async def end(self, name: str) -> None:
        """Let one have done its work."""
        self.done[name].set()
        await self.tasks[name]


@pytest.fixture
async def queue():
    """Return a queue of 100 bytes at once; nothing of it is left behind."""
    made = Queue(Turns(100, 30.0))
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def test_so_many_bytes_at_once_in_the_order_of_coming(queue):
    """Two of 40 bytes are let in; the third comes when one has ended, and nobody overtakes."""
    await queue.come("a", "b", "c", size=40)
    await queue.come("small", size=1)
    await until(lambda: queue.inside == ["a", "b"])
    await queue.end("b")
    await until(lambda: queue.inside == ["a", "c", "small"])


async def test_one_that_is_larger_than_all_is_taken_alone(queue):
    """Nothing waits for ever: what exceeds the bound by itself has its turn."""
    await queue.come("a", "b", size=1000)
    await until(lambda: queue.inside == ["a"])
    await queue.end("a")
    await until(lambda: queue.inside == ["b"])


async def test_who_goes_leaves_no_gap(queue):
    """A request that is given up while it waits, or in its turn, takes nobody's place."""
    await queue.come("a", "b", "c", "d", size=100)
    queue.tasks["b"].cancel()
    await asyncio.sleep(0)
    queue.tasks["a"].cancel()
    await until(lambda: queue.inside == ["c"])
    await queue.end("c")
    await until(lambda: queue.inside == ["d"])
    assert queue.tasks["b"].cancelled()


async def test_who_waits_too_long_is_asked_to_come_again():
    """The refusal is `busy`; the place goes to the next, and all of it is free afterwards."""
    turns = Turns(100, 0.05)
    async with turns.take(100):
        with pytest.raises(Refused) as refused:
            async with turns.take(100):
                pass
    assert (refused.value.status, refused.value.code) == (503, "busy")
    async with turns.take(60), turns.take(40):
        pass


async def test_work_that_fails_gives_its_turn_back(queue):
    """A push that is refused while it is worked on holds nobody up."""
    with pytest.raises(ValueError, match="bad"):
        async with queue.turns.take(100):
            raise ValueError("bad")
    await queue.come("a", size=100)
    await until(lambda: queue.inside == ["a"])
