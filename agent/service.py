"""The running agent: its parts, wired; nothing is decided here."""

import asyncio
import logging
import os

from agent import VERSION
from agent.clock import machine_boot, read_stamp, slept_seconds, synchronised
from agent.config import AgentConfig, AgentFile
from agent.evidence import Evidence
from agent.leave import Leave
from agent.power import read_power
from agent.probes.base import Env, Health
from agent.probes.net import SystemResolver, is_address
from agent.remote_config import LastGood
from agent.runner import Run, make_runs
from agent.scene import World
from agent.schedule import Schedule
from agent.spool import Spool
from agent.strict import ConfigError
from agent.uplink import Status, Uplink
from agent.wire import WIRE_VERSION, Batch, Sample, Tally

MAX_UNSEALED = 10_000
"""Samples that may gather while the disk hangs; then the oldest go, counted as missed."""
RETRY_CONFIG_SECONDS = 30.0

log = logging.getLogger(__name__)


class Service:
    """One agent, from start to orderly stop.

    Samples gather for `batch_seconds`, or until a check changed its mind; then they are sealed
    into a batch, the batch goes to the spool, and the uplink is woken.
    """

    def __init__(self, file: AgentFile) -> None:
        """Open the spool; SpoolInUseError where another agent runs on this state directory."""
        file.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = file
        self._boot = os.urandom(16).hex()
        self._machine_boot = machine_boot()
        self._samples: list[Sample] = []
        self._erring: set[tuple[str, str, str]] = set()
        self._seal_now = asyncio.Event()
        self._config_offered = asyncio.Event()
        self._counters: dict[tuple[str, str, str], dict[str, float]] = {}
        self._health = Health(state_directory=str(file.state_directory))
        self._env = Env(resolve=SystemResolver(), health=self._health)
        self._schedule = Schedule(
            file.agent, self._take, self._seal_now.set, self._health, on_down=self._look_into
        )
        self._leave = Leave(self._take, self._health)
        self._last_good = LastGood(file.state_directory / "config.json", file.agent)
        self._config_error = ""
        self._config = self._last_good.read() or AgentConfig(
            version=0, agent=file.agent, lines=file.lines, checks=file.checks
        )
        self._spool = Spool(file.state_directory / "spool", file.spool, boot=self._boot)
        self._uplink = Uplink(
            file.collector,
            self._config.lines,
            self._spool,
            self._status,
            self._offered,
            on_slots=self._leave.take,
        )
        self._evidence = Evidence(
            World(self._env, self._schedule.good, self._uplink.states, self._resolvers), self._take
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then seal, say goodbye and leave the rest on disk."""
        log.info(
            "started agent=%s boot=%s version=%s config=%d checks=%d",
            self._file.agent,
            self._boot,
            VERSION,
            self._config.version,
            len(self._config.checks),
        )
        self._put_in_force(self._config)
        work = [
            asyncio.create_task(part, name=name)
            for name, part in (
                ("schedule", self._schedule.run()),
                ("slots", self._leave.run()),
                ("evidence", self._evidence.run()),
                ("seal", self._seal_for_ever()),
                ("uplink", self._uplink.run()),
                ("config", self._follow_config()),
                ("stop", stop.wait()),
            )
        ]
        try:
            ended, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # a part that broke ends the agent: its supervisor starts it anew
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._seal()
            await self._uplink.bye("shutdown")
            await self._uplink.close()
            self._spool.close()
            self._env.close()
            log.info("stopped agent=%s", self._file.agent)

    def _look_into(self, run: Run, sample: Sample) -> None:
        self._evidence.failed(run, sample)

    def _resolvers(self) -> list[str]:
        """Return the addresses of the resolvers that are checked here."""
        targets = (
            name for check in self._config.checks if check.kind == "dns" for name in check.targets
        )
        return [name for name in targets if is_address(name)]

    def _take(self, sample: Sample) -> None:
        self._note_error(sample)
        self._samples.append(sample)
        if len(self._samples) > MAX_UNSEALED:
            del self._samples[0]
            self._health.runs_missed += 1
            self._health.samples_lost += 1

    def _note_error(self, sample: Sample) -> None:
        """Log what cannot be measured, the first of a streak: a metric only counts it."""
        run = sample.check, sample.target, sample.line
        if not sample.error:
            self._erring.discard(run)
        elif run not in self._erring:
            self._erring.add(run)
            log.warning("cannot measure check=%s target=%s line=%r why=%s", *run, sample.error)

    async def _seal_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._config.batch_seconds):
                    await self._seal_now.wait()
            except TimeoutError:
                pass
            self._seal_now.clear()
            if await self._seal():
                self._uplink.wake()

    async def _seal(self) -> bool:
        """Put what gathered on disk; whether there was anything."""
        if not self._samples:
            return False
        samples, self._samples = self._samples, []
        sealed = read_stamp()
        offset = self._health.clock_offset_seconds
        age = sealed.mono_ns / 1e9 - self._health.clock_measured_at
        batch = Batch(
            v=WIRE_VERSION,
            agent=self._file.agent,
            boot=self._boot,
            machine_boot=self._machine_boot,
            seq=0,  # the spool numbers it
            sealed=sealed,
            synchronised=synchronised(),
            config=self._config.version,
            program=VERSION,
            samples=samples,
            ntp_offset=None if offset is None else round(offset, 7),
            ntp_age=None if offset is None else round(max(age, 0.0), 3),
            tally=Tally(
                busy=self._health.runs_busy,
                stalled=self._health.runs_stalled,
                lost=self._health.samples_lost,
                slept=round(slept_seconds(), 1),
            ),
        )
        await asyncio.to_thread(self._spool.append, batch)
        return True

    def _status(self) -> Status:
        return Status(
            agent=self._file.agent,
            boot=self._boot,
            machine_boot=self._machine_boot,
            synchronised=synchronised(),
            config=self._config.version,
            config_error=self._config_error,
            power=read_power(),
        )

    def _offered(self, version: int) -> None:
        """Hear which configuration the centre has for us; 0 is none."""
        if version and version != self._config.version:
            self._config_offered.set()

    async def _follow_config(self) -> None:
        while True:
            await self._config_offered.wait()
            fetched = await self._uplink.fetch_config(self._last_good.etag)
            if fetched is not None:
                self._accept(*fetched)
            # A refused one is offered with every answer: look again, but not each second.
            if fetched is None or self._config_error:
                await asyncio.sleep(RETRY_CONFIG_SECONDS)
            self._config_offered.clear()

    def _accept(self, body: bytes, etag: str) -> None:
        try:
            config = self._last_good.accept(body, etag, self._config.version)
        except ConfigError as exc:
            self._config_error = str(exc)[:1000]
            log.error("configuration refused, the last good one stays: %s", exc)  # noqa: TRY400  no traceback: the words say all
            return
        self._config_error = ""
        self._put_in_force(config)
        log.info("configuration in force version=%d checks=%d", config.version, len(config.checks))

    def _put_in_force(self, config: AgentConfig) -> None:
        self._config = config
        self._uplink.set_lines(config.lines)
        self._uplink.batch_seconds = config.batch_seconds
        runs = make_runs(config.checks, config.lines, self._env, self._counters)
        self._schedule.set_runs(runs)
        self._leave.set_runs(runs)
