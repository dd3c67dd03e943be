"""Servers, workers in processes of their own, lossy ways between them, and what befalls all."""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from unittest import mock

import psutil

from orderintake.work.remote.worker import UNTOLD
from orderintake_server.store.postgres import schema as postgres_schema
from support.chaos_orders import MAX_ATTEMPTS, MAX_CRASHES
from support.chaos_shop import Replica, keep_logs
from support.fates import PostgresStore, SqliteStore, Store
from support.faults import Faults
from support.postgres import cluster
from support.process import ServerProcess, WorkerProcess
from support.proxy import Proxy, proxy
from support.worker_chaos_orders import JOURNALS

SERVERS = {"sqlite": 1, "postgres": 3}
HANDLER = "support.worker_chaos_orders:work"
WORKERS, SLOTS, CHILDREN = 6, 4, 2
"""So many workers that are no server's, the slots of each; and each server's children."""
WORKER_LEASE_SECONDS = 4.0
"""More than a healthy worker needs on a busy machine, beside a server that is frozen."""
ATTEMPT_SECONDS = 90.0
"""So late nobody is overruled before it is taken for dead, though servers are away meanwhile."""
LOST_SECONDS = 0.5
"""The most that answers are swallowed for before their connection breaks."""
PAUSE_SECONDS = 0.1, 0.7
START_SECONDS = 60
THREADS = 64

FAULTS = {
    "kill worker": 20,
    "kill child": 3,
    "freeze worker": 3,
    "stop worker": 4,
    "kill server": 2,
    "freeze server": 1,
    "stop server": 2,
    "lose answers": 5,
    "cut": 1,
}
"""How many of forty-one faults are of each kind."""

_SERVER = (
    *("--handler", HANDLER, "--workers", str(SLOTS), "--worker-processes", str(CHILDREN)),
    *("--worker-lease", str(WORKER_LEASE_SECONDS), "--lease", "1"),
    *("--attempt-timeout", str(ATTEMPT_SECONDS), "--retry-delay", "0.2"),
    *("--max-attempts", str(MAX_ATTEMPTS), "--max-crashes", str(MAX_CRASHES)),
    *("--drain-timeout", "10"),
)
_WORKER = (
    *("--handler", HANDLER, "--slots", str(SLOTS)),
    *("--drain-timeout", "3"),
)


@dataclass(frozen=True)
class Marks:
    """What befell workers, by their names."""

    may_die: set[str] = field(default_factory=set)
    """Those that were killed or frozen: their attempts may be crashes."""
    may_return: set[str] = field(default_factory=set)
    """Those, and whoever was told to stop: they may give orders back that they had in hand."""

    def die(self, names: Iterable[str]) -> None:
        """Mark those that may die now."""
        for name in names:
            self.may_die.add(name)
            self.may_return.add(name)


class Life:
    """One process of a worker."""

    def __init__(self, name: str, target: str) -> None:
        """Start it, to work for what answers at the target."""
        self.name = name
        self.process = WorkerProcess(target, *_WORKER, "--name", name)


class Worker:
    """A worker that comes back, life after life."""

    def __init__(self, name: str, target: str, chance: random.Random, marks: Marks) -> None:
        """Give it a name; it is not started yet."""
        self.name = name
        self.lives: list[Life] = []
        self.is_up = False
        """Whether nothing befalls it at the moment."""
        self._target = target
        self._chance = chance
        self._marks = marks

    @property
    def life(self) -> Life:
        """Its newest life."""
        return self.lives[-1]

    async def start(self) -> None:
        """Begin another life; a server knows it on return."""
        name = f"{self.name}-{len(self.lives)}"
        self.lives.append(await asyncio.to_thread(Life, name, self._target))
        process = self.life.process
        await asyncio.to_thread(process.wait_for, "working", seconds=START_SECONDS)
        self.is_up = True

    async def kill(self) -> None:
        """End it in the middle of whatever it does; it comes back under another id."""
        self._marks.die([self.life.name])
        await asyncio.to_thread(self.life.process.kill)
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await self.start()

    async def freeze(self) -> None:
        """Let it do nothing for a while, so that it is taken for dead perhaps; it goes on then."""
        self._marks.die([self.life.name])
        self.life.process.signal(SIGSTOP)
        await asyncio.sleep(WORKER_LEASE_SECONDS * self._chance.uniform(0.1, 2.0))
        self.life.process.signal(SIGCONT)
        self.is_up = True

    async def stop(self) -> None:
        """Tell it to stop, as a deploy does; it comes back."""
        await self.stop_for_good()
        await self.start()

    async def stop_for_good(self) -> None:
        """Tell it to stop, which it does in order, whatever its orders do meanwhile."""
        self.check_alive()
        self.is_up = False
        self._marks.may_return.add(self.life.name)
        code = await self.life.process.stops(SIGTERM)
        last = self.life.process.log[-5:]
        if code == UNTOLD:
            self._marks.die([self.life.name])
        assert code in {0, UNTOLD}, (
            f"{self.life.name} was told to stop, and exited with {code}: {last}"
        )

    def check_alive(self) -> None:
        """Fail when it has ended, though nobody told it to."""
        is_alive = self.life.process.is_running()
        assert is_alive, f"{self.life.name} ended by itself: {self.life.process.log[-5:]}"

    def end(self) -> None:
        """End it for good."""
        for life in self.lives:
            life.process.kill()


class WorkShop:
    """All of them."""

    def __init__(
        self,
        store: Store,
        servers: Sequence[Replica],
        ways: Sequence[Proxy],
        place: Path,
        seed: int,
    ) -> None:
        """Give each worker its name; it reaches the servers by these ways. None is started yet."""
        self.store = store
        self.servers = servers
        self.marks = Marks()
        self.journals = place / "journals"
        self.journals.mkdir()
        target = f"ipv4:{','.join(way.address for way in ways)}"
        self.workers = [
            Worker(name, target, random.Random(f"{seed} {name}"), self.marks)
            for name in (f"worker-{number}" for number in range(WORKERS))
        ]
        self._ways = ways
        self._faults = Faults(seed, FAULTS, PAUSE_SECONDS)
        self._does: dict[str, Callable[[str, asyncio.TaskGroup], None]] = {
            "server": self._befall_server,
            "worker": self._befall_worker,
            "child": self._befall_child,
        }

    @property
    def faults(self) -> Counter[str]:
        """How many faults of each kind there were."""
        return self._faults.counts

    @property
    def addresses(self) -> list[str]:
        """Where the servers listen, whenever they do."""
        return [server.address for server in self.servers]

    @property
    def all(self) -> list[Replica | Worker]:
        """Whom a fault may befall."""
        return [*self.servers, *self.workers]

    @property
    def lives(self) -> list[Life]:
        """Every process there was of any worker."""
        return [life for worker in self.workers for life in worker.lives]

    async def befall(self, seconds: float) -> None:
        """Let one fault after the other begin for so long; all are over on return."""
        await self._faults.befall(seconds, self._befall)

    def _befall(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        self.check_alive()
        befall = self._does.get(fault.rpartition(" ")[2], self._befall_way)
        befall(fault, tasks)

    def check_alive(self) -> None:
        """Fail when any has ended that nobody told to."""
        for each in self.all:
            if each.is_up:
                each.check_alive()

    def _befall_worker(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        if up := [worker for worker in self.workers if worker.is_up]:
            victim = self._faults.chance.choice(up)
            victim.is_up = False
            does = {"kill worker": victim.kill, "freeze worker": victim.freeze}
            self._faults.begin(fault, victim.name, does.get(fault, victim.stop), tasks)

    def _befall_server(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        """Let it befall one; never all of several at the same time."""
        up = [server for server in self.servers if server.is_up]
        if len(up) > 1 or len(up) == len(self.servers):
            victim = self._faults.chance.choice(up)
            victim.is_up = False
            does = {"kill server": self._kill, "freeze server": self._freeze}
            act = partial(does.get(fault, self._stop), victim)
            self._faults.begin(fault, victim.name, act, tasks)

    async def _kill(self, server: Replica) -> None:
        """Kill a server; its supervised workers end with it."""
        self.marks.die(map(_name, _children(server)))
        await server.kill()

    async def _freeze(self, server: Replica) -> None:
        """Freeze a server; taken for dead, it takes its supervised workers with it."""
        self.marks.die(map(_name, _children(server)))
        await server.freeze()

    async def _stop(self, server: Replica) -> None:
        """Tell a server to stop; its supervised workers give back what they do not end."""
        self.marks.may_return.update(map(_name, _children(server)))
        await server.stop()

    def _befall_child(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        """Kill a supervised worker; its server starts another."""
        up = [server for server in self.servers if server.is_up]
        if children := [child for server in up for child in _children(server)]:
            victim = self._faults.chance.choice(children)
            self.marks.die([_name(victim)])
            self._faults.begin(fault, _name(victim), partial(asyncio.to_thread, victim.kill), tasks)

    def _befall_way(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        way = self._faults.chance.choice(self._ways)
        seconds = 0 if fault == "cut" else self._faults.chance.uniform(0, LOST_SECONDS)
        self._faults.begin(fault, way.target, lambda: way.lose_answers(seconds), tasks)

    def names(self) -> dict[str, Path]:
        """Tell of every worker that was called for an order by its name where its journal is."""
        own = {str(life.process.pid): life.name for life in self.lives}
        return {own.get(path.name, _called(path.name)): path for path in self.journals.iterdir()}

    async def stop(self) -> None:
        """Tell every worker and server to stop: all ends are then such as the run asked for."""
        await asyncio.gather(*(worker.stop_for_good() for worker in self.workers))
        for server in self.servers:
            self.marks.may_return.update(map(_name, _children(server)))
            await server.stop_for_good()

    def keep(self, place: Path) -> None:
        """Write down what happened: the faults, every log, what the store has of starts."""
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath("faults.txt").write_text("\n".join(self._faults.story))
        for server in self.servers:
            keep_logs(place, server.name, server.lives)
        for worker in self.workers:
            keep_logs(place, worker.name, [life.process for life in worker.lives])
        for table in ("seen_starts", "seen_ends", "seen_workers", "workers", "leases", "log"):
            rows = ["|".join(row) for row in self.store.ask(f"SELECT * FROM {table}")]  # noqa: S608 - our own
            place.joinpath(f"{table}.txt").write_text("\n".join(rows))


def _children(server: Replica) -> list[psutil.Process]:
    """Give the supervised workers of a server."""
    try:
        return psutil.Process(server.process.pid).children()
    except psutil.NoSuchProcess:
        return []


def _name(child: psutil.Process) -> str:
    return _called(str(child.pid))


def _called(pid: str) -> str:
    """Tell what a worker calls itself that was told no name."""
    return f"{socket.gethostname()}:{pid}"


@asynccontextmanager
async def work_shop(kind: str, seed: int, place: Path) -> AsyncIterator[WorkShop]:
    """Give servers on a store of this kind and their workers, all of which run."""
    # All may be waited for at the same time, each by a thread.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    async with AsyncExitStack() as life:
        journals = str(place / "journals")
        life.enter_context(mock.patch.dict(os.environ, {JOURNALS: journals}))
        store, arguments = await (_postgres(life) if kind == "postgres" else _sqlite(place))
        servers = [
            _server(name, arguments, place / "data", seed) for name in "abc"[: SERVERS[kind]]
        ]
        ways = [await life.enter_async_context(proxy(server.address)) for server in servers]
        here = WorkShop(store, servers, ways, place, seed)
        for each in here.all:
            life.callback(each.end)
        # Where a run failed, threads may still be starting what is to be ended.
        life.push_async_callback(asyncio.get_running_loop().shutdown_default_executor)
        await asyncio.gather(*(each.start() for each in here.servers))
        await asyncio.gather(*(each.start() for each in here.workers))
        yield here


def _server(name: str, arguments: tuple[str, ...], data: Path, seed: int) -> Replica:
    """Give a server; it is frozen for so short that nobody dies of it."""
    replica = ("--replica", name) if arguments else ()
    return Replica(
        name,
        lambda: (*arguments, *replica, *_SERVER),
        random.Random(f"{seed} {name}"),
        freeze_seconds=(0.1, WORKER_LEASE_SECONDS / 4),
        data=data,
    )


async def _postgres(life: AsyncExitStack) -> tuple[Store, tuple[str, ...]]:
    database = await asyncio.to_thread(life.enter_context, cluster())
    await postgres_schema.migrate(database.url())
    store = PostgresStore(database)
    await asyncio.to_thread(store.watch)
    return store, ("--store", database.url())


async def _sqlite(place: Path) -> tuple[Store, tuple[str, ...]]:
    """Let a server make the store, so that it is there to be watched."""
    first = ServerProcess(place / "data", "--workers", "0")
    await asyncio.to_thread(lambda: first.address)
    assert await first.stops() == 0
    store = SqliteStore(place / "data")
    store.watch()
    return store, ()
