"""A day that an office was cut off: its spool, as full as a day makes it; and how its way out goes.

Collector and agent are real processes, the line between them is the lab's. What is measured is
read from the journal's file, as others see it: what stands there is fsynced.
"""

import asyncio
import random
import struct
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.segments import Pending, Writer
from agent.wire import WIRE_VERSION, Batch, Failure, Sample, Stamp
from collector.database import Database, open_reader
from collector.ingest.access import Access
from tests.e2e.province import COLLECTOR, Program
from tests.lab.box import DATA_CENTRE, Box, Office
from tests.lab.namespaces import in_namespace, inside, resolv_conf
from tests.lab.reporting import HOST, PORT, SITE, _agent, _write_folder, resolver, resolvers
from tests.pki import issue, make_authority
from tests.programs import listening
from tests.waiting import until

OLD_BOOT, OLD_MACHINE = "0d" * 16, "0e" * 16
DAY = 86_400
SEGMENT_BYTES = 1 << 20
TARGETS = {
    "http": "https://portal-{}.example/",
    "tls": "portal-{}.example:443",
    "tcp": "portal-{}.example:443",
    "icmp": "portal-{}.example",
    "ntp": "portal-{}.example",
}
KINDS = tuple(TARGETS)
CHECKS = [f"kind: tcp\ntargets: ['{DATA_CENTRE}:{PORT}']"] * 5
"""As many samples a second as 25 checks each 5 s."""


def fill_spool(directory: Path, batches: int = DAY) -> None:
    """Write what an office seals in so many seconds, up to a minute ago: five samples each."""
    chance = random.Random(4)
    begin = time.time() - 60 - batches
    write_spool(directory, (sealed(n, begin + n, chance) for n in range(1, batches + 1)))


def write_spool(directory: Path, pendings: Iterable[Pending]) -> None:
    """Write batches as an agent's spool does: in segments, a sync now and then."""
    directory.mkdir(parents=True, mode=0o700)
    number, writer = 1, Writer(directory / f"{1:010}.seg")
    left = iter(pendings)
    while some := list(islice(left, 64)):
        writer.write(some)
        if writer.size >= SEGMENT_BYTES:
            writer.close()
            number += 1
            writer = Writer(directory / f"{number:010}.seg")
    writer.close()


def sealed(
    seq: int, wall: float, chance: random.Random, *, config: int = 1, down: str = ""
) -> Pending:
    """Return the batch of a second that ends at `wall`, UTC; the check `down` fails in it."""
    stamp = Stamp(wall_ms=round(wall * 1e3), mono_ns=seq * 10**9)
    batch = Batch(
        v=WIRE_VERSION,
        agent=SITE,
        boot=OLD_BOOT,
        machine_boot=OLD_MACHINE,
        seq=seq,
        sealed=stamp,
        synchronised=True,
        config=config,
        program="0.1.0",
        samples=samples(seq, stamp, chance, down=down),
    )
    return Pending(OLD_BOOT, seq, stamp.wall_ms, msgspec.json.encode(batch), synchronised=True)


def samples(seq: int, sealed: Stamp, chance: random.Random, *, down: str = "") -> list[Sample]:
    """Return a fifth of 25 checks, in turn: so each is measured every five seconds."""
    return [_sample(seq, 5 * (seq % 5) + place, sealed, chance, down) for place in range(5)]


def _sample(seq: int, check: int, sealed: Stamp, chance: random.Random, down: str) -> Sample:
    ago = chance.random()
    attempts = (seq + 4) // 5
    name, kind = f"check-{check}", KINDS[check % 5]
    return Sample(
        check=name,
        target=TARGETS[kind].format(check),
        kind=kind,
        version=1,
        start=Stamp(
            wall_ms=sealed.wall_ms - round(ago * 1e3), mono_ns=sealed.mono_ns - round(ago * 1e9)
        ),
        duration=round(chance.uniform(0.01, 0.3), 6),
        phases={name: round(chance.uniform(0, 0.1), 6) for name in ("resolve", "connect", "tls")},
        values={"http_status_code": 200, "ip_protocol": 4},
        counters={
            "all_success_count": attempts,
            "all_success_sum": attempts - chance.randrange(2),
        },
        facts={"address": "192.0.2.7"},
        failure=Failure.REFUSED if name == down else None,
    )


@dataclass(slots=True)
class Drain:
    """What a test looks at while it goes on."""

    agent: Program
    collector: Program
    journal: Path
    ages: list[float] = field(default_factory=list)
    """Of the newest live sample at the centre, each tenth of a second, seconds."""

    def drained(self) -> int:
        """Return how many batches of the day that was missed are in the journal."""
        with closing(open_reader(self.journal)) as database:
            row = database.execute(
                "SELECT ranges FROM boots WHERE boot = ?", (OLD_BOOT,)
            ).fetchone()
        ranges = msgspec.json.decode(row[0]) if row else []
        return sum(last - first + 1 for first, last in ranges)

    async def watch(self) -> None:
        """Note the age of what is live until cancelled."""
        with closing(open_reader(self.journal)) as database:
            while True:
                newest = newest_live(database)
                if newest is not None:
                    self.ages.append(time.time() - newest)
                await asyncio.sleep(0.1)

    def told(self) -> str:
        """Return the ages in a line."""
        ages = sorted(self.ages)
        at = {p: ages[min(len(ages) - 1, int(len(ages) * p))] for p in (0.5, 0.99)}
        return f"live age p50 {at[0.5]:.2f} s, p99 {at[0.99]:.2f} s, max {ages[-1]:.2f} s"


def newest_live(database: Database) -> float | None:
    """Return when the newest sample ended that is not of the day before."""
    row = database.execute(
        "SELECT times, body FROM entries WHERE boot ="
        " (SELECT id FROM boots WHERE boot != ? ORDER BY id DESC LIMIT 1)"
        " ORDER BY seq DESC LIMIT 1",
        (OLD_BOOT,),
    ).fetchone()
    if row is None:
        return None
    times = [at for (at,) in struct.iter_unpack("<d", row[0])]
    return max(times)


@asynccontextmanager
async def draining(
    province: Box, office: Office, folder: Path, *, batches: int = DAY, line: dict | None = None
) -> AsyncIterator[Drain]:
    """Run a collector, and an agent whose spool holds a day; `line`: how bad VNPT's cable is."""
    _write_folder(folder, office.lines("interface", ["vnpt"]), CHECKS)
    authority = make_authority("Lab CA")
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    shown = issue(folder / "centre", authority, host=HOST)
    (folder / "collector.yml").write_text(
        "province: province\nstate_directory: state\n"
        f"listen: {{host: {DATA_CENTRE}, port: {PORT}}}\n"
        f"tls: {{certificate: {shown.cert}, key: {shown.key}}}\n"
    )
    with closing_access(folder) as access:
        token = access.add(SITE, time.time())
    agent = _agent(folder, office, token)
    fill_spool(folder / "agent" / "state" / "spool", batches)
    command = [*COLLECTOR, "run", "-c", str(folder / "collector.yml")]
    collector = Program(in_namespace(province.dc, *command), folder / "collector.log")
    made = Drain(agent, collector, folder / "state" / "journal.sqlite")
    with ExitStack() as stack:
        stack.enter_context(resolvers(province, folder))
        resolv_conf(office.pc, resolver("vnpt"))
        if line:
            stack.enter_context(office.cabled("vnpt")).set(both=line)
        for program in (agent, collector):
            stack.callback(program.end)
        collector.start()
        with inside(province.dc):
            await until(lambda: listening(DATA_CENTRE, PORT), seconds=20, what="collector")
        agent.start()
        watching = asyncio.create_task(made.watch())
        try:
            yield made
        except BaseException:
            for program in (agent, collector):
                print(program.log.read_text("utf-8", "replace")[-3000:])
            raise
        finally:
            watching.cancel()


@contextmanager
def closing_access(folder: Path) -> Iterator[Access]:
    """Open the tokens as the command line does."""
    access = Access(folder / "state" / "access.sqlite")
    try:
        yield access
    finally:
        access.close()
