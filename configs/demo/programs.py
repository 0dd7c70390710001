"""The processes of the demo: started in sessions of their own, ended in order, waited for."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path

PATIENCE_SECONDS = 8.0
LAST_LINES = 15


class StartError(Exception):
    """The demo cannot run here; the text says why."""


class Programs:
    """Starts programs by name. A terminal's Ctrl-C reaches only the demo itself, which ends them."""

    def __init__(self, cwd: Path, home: Path) -> None:
        self._cwd = cwd
        self._logs = home / "logs"
        self._running: dict[str, Process] = {}

    async def start(self, name: str, command: list[str]) -> None:
        """Start one, its output in logs/NAME.log."""
        self._logs.mkdir(exist_ok=True)
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._cwd,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,
            )

    async def ask(self, command: list[str]) -> str:
        """Run one to its end and return what it prints. StartError when it fails."""
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self._cwd, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        out, errors = await process.communicate()
        if process.returncode:
            raise StartError(f"{' '.join(command)} failed:\n{errors.decode()}")
        return out.decode()

    def pid(self, name: str) -> int:
        """Return a program's process id."""
        return self._running[name].pid

    def running(self, name: str) -> bool:
        """Whether a program has not ended."""
        return self._running[name].returncode is None

    def last_words(self, name: str) -> str:
        """Return the end of a program's log."""
        lines = (self._logs / f"{name}.log").read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    async def watch(self) -> None:
        """Say of each program when it ends; return when none is left."""
        async with asyncio.TaskGroup() as group:
            for name, process in self._running.items():
                group.create_task(self._say_when_ended(name, process))

    async def stop(self) -> None:
        """End all: the newest first, so that nobody misses whom it speaks to; wait for each."""
        for process in reversed(self._running.values()):
            if process.returncode is None:
                process.terminate()
        for process in self._running.values():
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _say_when_ended(self, name: str, process: Process) -> None:
        status = await process.wait()
        print(f"{name} has ended (status {status}); its log: {self._logs / name}.log", flush=True)
