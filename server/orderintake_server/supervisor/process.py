"""One worker process: started by exec, watched by its wait status, and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from orderintake_server.supervisor.output import read_log
from orderintake_server.supervisor.talk import GO, READY

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.supervisor.instructions import Instructions

IN_ORDER = {0, 75}
"""The exit codes of a process that gave back what it had; 75: too many of its slots are stuck."""
REPORT_SECONDS = 1.0
"""How much later than its end what it said before may be read."""
MODULE = "orderintake_server.supervisor.start"


class Pipes:
    """What connects a process with the server: each end is closed where it is not used."""

    def __init__(self) -> None:
        """Open them."""
        self.lifeline, self.alive = os.pipe()
        self.talk, self.talking = socket.socketpair()
        self.log, self.logging = os.pipe()

    def started(self) -> None:
        """Close the ends that the process has now; so its end is theirs."""
        self.talking.close()
        for descriptor in (self.lifeline, self.logging):
            os.close(descriptor)

    def close(self) -> None:
        """Close those that the server has: no process was started."""
        self.talk.close()
        for descriptor in (self.alive, self.log):
            os.close(descriptor)


class WorkerProcess:
    """A process that was started; from its ends of the pipes, what it does is seen."""

    def __init__(self, told: Instructions, started: subprocess.Popen[bytes], pipes: Pipes) -> None:
        """Watch it, in the running loop."""
        loop = asyncio.get_running_loop()
        self.number, self.worker_id, self.pid = told.number, told.worker_id, started.pid
        self.is_at_work = False
        self.is_told_to_stop = False
        self.ended: asyncio.Future[int] = loop.create_future()
        """Its exit code, or the number of the signal that killed it, less than 0."""
        self._started = started
        self._alive, self._talk = pipes.alive, pipes.talk
        self._report: asyncio.Future[str] = loop.create_future()
        self._log = _thread(f"worker-{told.number}-log", read_log, pipes.log, told.log_format)
        said = pipes.talk.makefile(encoding="utf-8", errors="replace")  # open until it is read
        _thread(f"worker-{told.number}-report", self._read_report, said, loop)
        _thread(f"worker-{told.number}-end", self._await_end, loop)

    async def becomes_ready(self) -> str:
        """Wait until it can process orders, and give nothing; or give why it never will."""
        either: set[asyncio.Future[Any]] = {self._report, self.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({self._report}, timeout=REPORT_SECONDS)
        report = self._report.result() if self._report.done() else ""
        if report == READY:
            return ""
        return report or f"it ended at its start: {told_end(await asyncio.shield(self.ended))}"

    def begin(self) -> None:
        """Let it take orders, once it is ready."""
        self.is_at_work = True
        self._talk.setblocking(False)  # noqa: FBT003 - its only argument
        with suppress(OSError):  # it has ended
            self._talk.send(GO)

    def stop(self) -> None:
        """Let it stop in order: it is given its time, and gives back what it does not finish.

        The second time changes nothing. One that is not at work yet is killed.
        """
        if not self.is_at_work:
            self.kill()
        elif not self.is_told_to_stop:
            self._signal(os.kill, signal.SIGTERM)
        self.is_told_to_stop = True

    def kill(self) -> None:
        """End it at once, and all that it has started and that is still in its group."""
        self._signal(os.killpg, signal.SIGKILL)

    async def log_is_read(self, seconds: float) -> None:
        """Wait until what it logged is in the log: if need be for so long, for its children."""
        await asyncio.to_thread(self._log.join, seconds)

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        if not self.ended.done():  # only then is the number its own: it is reaped by us
            with suppress(ProcessLookupError):
                send(self.pid, number)

    def _read_report(self, said: TextIO, loop: asyncio.AbstractEventLoop) -> None:
        with said:
            _call(loop, _resolve, self._report, said.readline().strip())

    def _await_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for its end; of one that did not end in order, kill what it leaves behind."""
        if hasattr(os, "waitid"):
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if end and (end.si_code != os.CLD_EXITED or end.si_status not in IN_ORDER):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        else:
            self._started.wait()
        _call(loop, self._reap)

    def _reap(self) -> None:
        os.close(self._alive)
        self._talk.close()
        self.ended.set_result(self._started.wait())


async def start(told: Instructions) -> WorkerProcess:
    """Start a process with these instructions. Raises OSError when the system cannot."""
    pipes = Pipes()
    told = replace(told, lifeline=pipes.lifeline, talk=pipes.talking.fileno())
    try:
        started = await asyncio.to_thread(_exec, told, pipes.logging)
    except BaseException:
        pipes.close()
        raise
    finally:
        pipes.started()
    return WorkerProcess(told, started, pipes)


def _exec(told: Instructions, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-m", MODULE, *told.arguments()],
        stdin=subprocess.DEVNULL,
        stderr=log,
        pass_fds=(told.lifeline, told.talk),
        process_group=0,
    )


def told_end(code: int) -> str:
    """Tell how a process ended, by its exit code or the signal's number."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _thread(name: str, run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *given: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(function, *given)


def _resolve(answer: asyncio.Future[str], text: str) -> None:
    if not answer.done():
        answer.set_result(text)
