"""The same orders given to what users would pick instead; each by itself, one after the other.

A turn of each: orders end to end, 64 in flight, 64 workers that do nothing (or as many as its own
documentation says); VIP orders placed behind 10,000 regular ones that take 8 workers 10 ms each;
then SIGKILL for broker and workers in the middle of placing; what is missing when both are back.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import load
from rivals.brokers import BINARIES, Broker, kill, tree, wait_for_port
from rivals.child import MARK
from rivals.table import RIVALS, Rival
from servers import cpu_seconds, environment, until
from turns import Case, Folder, LeftOut, Part, Turn

BACKLOG, VIPS, EVERY_SECONDS = 10_000, 60, 0.05
WORKERS, SLOW_WORKERS, HANDLING = 64, 8, 0.01
KILLED, BEFORE_THE_KILL = 3_000, 300
"""So many orders would be placed; when so many of them have started, all is killed."""
BACK_SECONDS = 20.0
"""What is not processed so long after the last that was, counts as missing."""


@dataclass
class Marks:
    """The file in which a rival's workers mark what they start."""

    file: Path

    def count(self) -> int:
        """Tell how many orders started."""
        return self.file.stat().st_size // MARK.size if self.file.exists() else 0

    def starts(self) -> Iterator[tuple[float, int]]:
        """Give the time and the number of each start."""
        for at, number, _ in MARK.iter_unpack(self.file.read_bytes() if self.count() else b""):
            yield at, number


@dataclass
class Rivalry:
    """One rival at work."""

    rival: Rival
    broker: Broker
    folder: Path
    marks: Marks
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @contextmanager
    def work(self, workers: int, seconds: float = 0.0) -> Iterator[None]:
        """Let so many workers take so long for each order."""
        if workers or self.rival.module == "ours":
            self.start_workers(workers, seconds)
        try:
            yield
        finally:
            self.end_workers()

    def start_workers(self, workers: int, seconds: float = 0.0) -> None:
        """Start the process that works."""
        command = self._command("work")
        if self.rival.module == "ours":
            options = ("--handler", "rivals.ours:process", "--data", str(self.folder / "data"))
            more = ("--listen", self.broker.address, "--workers", str(workers))
            command = [sys.executable, "-m", "orderintake_server.main", *options, *more]
        given = self._environment() | {"CONCURRENCY": str(workers), "HANDLING": str(seconds)}
        with (self.folder / "worker.log").open("ab") as log:
            self.workers.append(subprocess.Popen(command, env=given, stdout=log, stderr=log))
        if self.rival.is_one_process:
            wait_for_port(int(self.broker.address.rpartition(":")[2]))

    def keep_up(self) -> None:
        """Start the process that works anew if it ended by itself, as a supervisor does."""
        if any(process.poll() is not None for process in self.workers):
            self.workers.clear()
            self.start_workers(WORKERS)

    def end_workers(self) -> None:
        """End it, as an operator does."""
        for process in self.workers:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                kill(tree(process.pid))
                process.wait()
        self.workers.clear()

    def kill(self) -> None:
        """Kill broker and workers in the middle of what they do."""
        kill([pid for process in self.workers for pid in tree(process.pid)])
        self.broker.kill()
        for process in self.workers:
            process.wait()
        self.workers.clear()

    @contextmanager
    def placing(self) -> Iterator["Placer"]:
        """Run the process that places."""
        command = self._command("place")
        with (
            (self.folder / "placer.log").open("ab") as log,
            subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                placer = Placer(process)
                placer.answer()
                yield placer
            finally:
                process.kill()

    def seconds(self) -> dict[str, float]:
        """Tell how long its broker and its workers have run."""
        working = [pid for process in self.workers for pid in tree(process.pid)]
        return {
            "broker": sum(map(cpu_seconds, self.broker.pids())),
            "worker": sum(map(cpu_seconds, working)),
        }

    def _command(self, what: str) -> list[str]:
        module = f"rivals.{self.rival.module}"
        return [str(self.rival.python), "-m", module, what, self.broker.address]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **environment(), "MARKS": str(self.marks.file)}


@dataclass
class Placer:
    """A process that places orders."""

    process: subprocess.Popen[str]

    def place(self, first: int, count: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """Place orders of these numbers, as `rivals.child` does; give what it tells."""
        self.ask(first, count, **more)
        return self.answer()

    def ask(self, first: int, count: int, **more: Any) -> None:  # noqa: ANN401
        """Let it begin."""
        asked = {"first": first, "count": count, "in_flight": load.IN_FLIGHT, "vip": False} | more
        assert self.process.stdin
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait until it is done."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended early: {self.process.args!r}")
        return dict(json.loads(line))

    def cpu_seconds(self) -> float:
        """Tell how long it has run."""
        return cpu_seconds(self.process.pid)


def turn(rival: Rival, folder: Path, orders: int) -> Turn:
    """Measure a rival once, with a broker and data of its own."""
    if not rival.python.exists():
        raise LeftOut(f"there is no {BINARIES.parent.name}: `make bench-rivals` makes it")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        broker = stack.enter_context(rival.broker(place))
        running = Rivalry(rival, broker, place, Marks(place / "marks"))
        stack.callback(running.end_workers)
        try:
            return end_to_end(running, orders) | vips(running) | killed(running)
        except (TimeoutError, RuntimeError) as error:  # the others are measured all the same
            raise LeftOut(str(error)) from error


def end_to_end(running: Rivalry, orders: int) -> Turn:
    """Place orders while they are processed."""
    with running.placing() as placer, running.work(WORKERS):
        warm = orders // 10
        checked(placer.place(0, warm))
        until(lambda: running.marks.count() >= warm, "the first orders")
        before, placed, began = running.seconds(), placer.cpu_seconds(), time.perf_counter()
        told = checked(placer.place(warm, orders))
        until(lambda: running.marks.count() >= warm + orders, "all orders")
        seconds, after = time.perf_counter() - began, running.seconds()
        spent = {who: after[who] - before[who] for who in before}
        spent["producer"] = placer.cpu_seconds() - placed
    p50, p99 = load.middle_and_far(told["seconds"])
    turn = {f"{who}_us": each / orders * 1e6 for who, each in spent.items()}
    turn["cpu_us"] = sum(turn.values())
    return turn | {"per_second": orders / seconds, "p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3}


def vips(running: Rivalry) -> Turn:
    """Place VIP orders behind a backlog; tell how long after they were placed each started."""
    first = 1_000_000
    slow = (SLOW_WORKERS, HANDLING)
    keeps = running.rival.module != "article"  # what keeps nothing is filled while it works
    with running.work(*((0, 0.0) if keeps else slow)), running.placing() as placer:
        checked(placer.place(first, BACKLOG))
        if not keeps:
            return _vips(running, placer, first + BACKLOG)
    with running.work(*slow), running.placing() as placer:
        seen = running.marks.count()
        until(lambda: running.marks.count() > seen + SLOW_WORKERS, "the backlog to begin")
        return _vips(running, placer, first + BACKLOG)


def _vips(running: Rivalry, placer: Placer, first: int) -> Turn:
    told = placer.place(first, VIPS, every=EVERY_SECONDS, vip=True)
    began = {int(number): at for number, at in told["began"].items()}

    def starts() -> dict[int, float]:
        return {number: at for at, number in running.marks.starts() if number in began}

    until(lambda: len(starts()) == VIPS, "the VIP orders", 300)  # without a priority
    waits = [at - began[number] for number, at in starts().items()]
    p50, p99 = load.middle_and_far(waits)
    return {"vip_p50_ms": p50 * 1e3, "vip_p99_ms": p99 * 1e3}


def killed(running: Rivalry) -> Turn:
    """Kill broker and workers while orders are placed, start them again; tell what is missing."""
    first = 2_000_000
    running.start_workers(WORKERS)
    seen = drained(running, running.marks.count())
    running.end_workers()
    running.start_workers(SLOW_WORKERS, HANDLING)  # so that orders wait when they are killed
    with running.placing() as placer:
        placer.ask(first, KILLED)
        until(lambda: running.marks.count() >= seen + BEFORE_THE_KILL, "orders before the kill")
        running.kill()
        acknowledged = set(placer.answer()["acknowledged"])
    running.broker.start()
    running.start_workers(WORKERS)
    drained(running, seen, acknowledged)
    done = [number for _, number in running.marks.starts() if number >= first]
    running.end_workers()
    return {
        "acknowledged": len(acknowledged),
        "missing": len(acknowledged - set(done)),
        "twice": len(done) - len(set(done)),
    }


def drained(running: Rivalry, count: int, wanted: set[int] | None = None) -> int:
    """Wait until nothing more starts, or all of these have; tell how many started."""
    patience = BACK_SECONDS if wanted else 3.0
    last = time.monotonic()
    while time.monotonic() < last + patience:
        time.sleep(0.5)
        running.keep_up()
        if (now := running.marks.count()) != count:
            count, last = now, time.monotonic()
        elif wanted and wanted <= {number for _, number in running.marks.starts()}:
            break
    return count


def checked(told: dict[str, Any]) -> dict[str, Any]:
    """Give what was told, unless an order failed."""
    if told["failed"]:
        raise RuntimeError(told["failed"][0])
    return told


PART = Part(
    told="Orders end to end, beside what users would pick instead",
    servers={"disk": Folder()},
    cases={
        name: Case(on="disk", drive=partial(turn, rival), orders=4_000)
        for name, rival in RIVALS.items()
    },
    turns=3,
    warm_up=0,
)
