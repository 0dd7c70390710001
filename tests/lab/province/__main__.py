"""`make lab`: a province in a box to play with. Root is needed; nothing of it stays behind."""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.lab.box import DATA_CENTRE
from tests.lab.province.faults import Faults
from tests.lab.province.raising import PORT, Province, raised
from tests.lab.province.registry import FAULTS
from tests.programs import free_port

HELP = """\
  list                     what may be put in, and what is there
  inject NAME [PLACE]      as: inject power off 00006, inject line dead 00001/vnpt
  heal NAME [PLACE]        as it was put in; heal all
  quit
"""


async def main() -> None:
    """Raise it, do what is asked, take it down."""
    # The door is on this machine; what comes in by it goes on inside the box.
    with socket.create_server(("127.0.0.1", free_port())) as door, _folder() as folder:
        url = f"https://127.0.0.1:{door.getsockname()[1]}"
        print("raising twelve offices, two carriers and TSLCD, a data centre ...", flush=True)
        async with raised(folder, url=url) as here:
            forwarding = await asyncio.start_server(_forward, sock=door)
            print(f"\n  wall   {url}/  (its certificate is new: the browser warns)")
            print(f"  logs   {folder}\n\n{HELP}", flush=True)
            telling = asyncio.create_task(_tell(here))
            try:
                await _play(here)
            finally:
                telling.cancel()
                forwarding.close()
                print("taking it down", flush=True)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="thongsuot-lab-") as name:
        Path(name).chmod(0o755)  # the servers' own users look into it
        yield Path(name)


async def _play(here: Province) -> None:
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    faults = Faults(here)
    try:
        while line := (await stdin.readline()).decode():
            if line.strip() == "quit":
                return
            print(await asyncio.to_thread(_do, faults, line.strip()), flush=True)
    finally:
        await asyncio.to_thread(faults.heal_all)


def _do(faults: Faults, line: str) -> str:
    order, _, rest = line.partition(" ")
    if line == "list":
        known = "\n".join(f"  {name:<32}{place}" for name, (place, _) in FAULTS.items())
        there = ", ".join(" ".join(one).strip() for one in faults.there)
        return f"{known}\nthere now: {there or 'nothing'}"
    if line == "heal all":
        faults.heal_all()
        return "healed"
    name, where = (rest, "") if rest in FAULTS else rest.rpartition(" ")[::2]
    try:
        {"inject": faults.inject, "heal": faults.heal}[order](name, where)
    except (KeyError, StopIteration, ValueError):
        return HELP
    return "done"


async def _tell(here: Province) -> None:
    """Say whom Alertmanager called, when it does."""
    told = 0
    while True:
        await asyncio.sleep(0.2)
        for call in here.pager.calls[told:]:
            if call.receiver != "deadman":
                said = call.annotations.get("description", "")
                print(f"  -> {call.receiver} {call.status}: {said}", flush=True)
        told = len(here.pager.calls)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        inner, outer = await asyncio.open_connection(DATA_CENTRE, PORT)
        with contextlib.closing(outer):
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, outer))
                both.create_task(_copy(inner, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
