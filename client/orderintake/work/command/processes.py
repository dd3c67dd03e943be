"""Many processes of one worker's command: started by exec, and anew when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from orderintake.work.command.signals import STOPS
from orderintake.work.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

FINAL = frozenset({2, 77})
"""Exit codes that another start would end with too, when the first one did. Later they may pass:
the lifespan waits for a database that is away, a key was exchanged."""

_log = logging.getLogger(__name__)


class Processes:
    """Keeps a number of processes at work until a signal comes, which is passed on to them."""

    def __init__(self, arguments: Sequence[str], count: int, name: str | None) -> None:
        """Run the command with these arguments so often; a `name` gets the number behind it."""
        self._arguments, self._count, self._name = list(arguments), count, name
        self._running: set[asyncio.subprocess.Process] = set()
        self._codes: list[int] = []
        self._lifeline, self._held = os.pipe()  # it ends with us, however we end

    async def run(self) -> int:
        """Keep them at work; give the exit code: the first that is not 0."""
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop)
        await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        return next((code for code in self._codes if code), 0)

    def _stop(self) -> None:
        """Let all of them drain; the second time, hurry: they tell by the time between."""
        self._stopping.set()
        for process in self._running:
            if process.returncode is None:  # its own `send_signal` would reap it, and lose its code
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)

    async def _keep(self, number: int) -> None:
        backoff, is_first = Backoff(), True
        while not self._stopping.is_set():
            backoff.begin()
            code = await self._run_one(number)
            if self._stopping.is_set() or (code in FINAL and is_first):
                self._codes.append(0 if code == -signal.SIGTERM else code)  # while it started
                self._stop()
                return
            pause, is_first = backoff.delay(), False
            about = {"number": number, "exit_code": code, "seconds": pause}
            _log.warning("a process ended; another one is started", extra=about)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_one(self, number: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command_of(number),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lifeline,),
            process_group=0,  # Ctrl-C is for us to pass on
        )
        self._running.add(process)
        if self._stopping.is_set():
            self._stop()
        try:
            return await process.wait()
        finally:
            self._running.remove(process)

    def _command_of(self, number: int) -> list[str]:
        own = [f"--lifeline={self._lifeline}", "--processes=1"]
        named = [f"--name={self._name}/{number}"] if self._name else []
        python = [sys.executable, "-m", "orderintake.work.command"]
        return [*python, *self._arguments, *own, *named]
