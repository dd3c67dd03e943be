"""Replicas on a PostgreSQL of their own, and the faults that befall them."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from subprocess import TimeoutExpired

from orderintake_server.store.postgres import schema as postgres_schema
from support.chaos_orders import MAX_ATTEMPTS, MAX_CRASHES
from support.faults import Faults
from support.postgres import Cluster, cluster
from support.process import LoggedProcess, ServerProcess
from support.program import free_port

REPLICAS = 3
LEASE_SECONDS = 1.0
ATTEMPT_SECONDS = 15.0
"""No innocent order takes so long, frozen for a while and beside others that block the loop."""
DOWN_SECONDS = 1.5
"""The most that a killed replica stays away."""
UP_SECONDS = 120
"""No replica takes longer to be there again, whatever its database does meanwhile."""
LAST_ONE = 0.1
"""How likely a fault may befall a replica while all the others have theirs."""

FAULTS = {"kill": 3, "freeze": 3, "stop": 2, "database crash": 1, "database restart": 1}
"""How many of ten faults are of each kind."""

_ARGUMENTS = (
    *("--handler", "support.chaos_orders:work", "--workers", "3", "--lease", str(LEASE_SECONDS)),
    *("--attempt-timeout", str(ATTEMPT_SECONDS)),
    *("--max-attempts", str(MAX_ATTEMPTS), "--max-crashes", str(MAX_CRASHES)),
    *("--retry-delay", "0.2", "--drain-timeout", "10"),
)
_UNUSED = Path("/nonexistent")
"""The directory of a store that no replica has."""
_TABLES = ("commits", "orders", "ready", "scheduled", "sessions", "leases", "starts", "log")


class Replica:
    """A server that comes back on the same port, life after life."""

    def __init__(
        self,
        name: str,
        arguments: Callable[[], tuple[str, ...]],
        chance: random.Random,
        *,
        freeze_seconds: tuple[float, float],
        data: Path = _UNUSED,
    ) -> None:
        """Give it a name and a port; each life has arguments of its own.

        It is frozen for a time between these two.
        """
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self.lives: list[ServerProcess] = []
        self.is_up = False
        """Whether nothing befalls it at the moment."""
        self._arguments = arguments
        self._chance = chance
        self._freeze_seconds = freeze_seconds
        self._data = data

    @property
    def process(self) -> ServerProcess:
        """Its newest life."""
        return self.lives[-1]

    async def start(self) -> None:
        """Start it; again where its database was away. It takes orders on return."""
        async with asyncio.timeout(UP_SECONDS):
            while not await asyncio.to_thread(self._comes_up):
                pass
        self.is_up = True

    def _comes_up(self) -> bool:
        listen = ("--listen", self.address)
        self.lives.append(ServerProcess(self._data, *listen, *self._arguments()))
        try:
            self.process.wait_for("listening", seconds=UP_SECONDS)
        except AssertionError:
            if not any("cannot open the store" in str(event) for event in self.process.events()):
                raise
            return False
        return True

    async def kill(self) -> None:
        """End it in the middle of whatever it does; it comes back."""
        self.check_alive()
        await asyncio.to_thread(self.process.kill)
        await asyncio.sleep(self._chance.uniform(0, DOWN_SECONDS))
        await self.start()

    async def freeze(self) -> None:
        """Let it do nothing for a while, so that it expires perhaps."""
        self.process.signal(SIGSTOP)
        await asyncio.sleep(self._chance.uniform(*self._freeze_seconds))
        self.process.signal(SIGCONT)
        self.is_up = True

    async def stop(self) -> None:
        """Tell it to stop, as a rolling restart does; it comes back."""
        await self.stop_for_good()
        await self.start()

    async def stop_for_good(self) -> None:
        """Tell it to stop, which it does in order, whatever its handlers do meanwhile."""
        self.check_alive()
        self.is_up = False
        code = await self.process.stops(SIGTERM)
        last = self.process.log[-5:]
        assert code == 0, f"{self.name} was told to stop, and exited with {code}: {last}"

    def check_alive(self) -> None:
        """Fail when it has ended, though nobody told it to."""
        is_alive = self.process.is_running()
        assert is_alive, f"{self.name} ended by itself: {self.process.log[-5:]}"

    def end(self) -> None:
        """End it for good."""
        for process in self.lives:
            process.kill()


class Shop:
    """All replicas and their database."""

    def __init__(self, database: Cluster, seed: int) -> None:
        """Give each replica its name; none is started yet."""
        self.database = database
        self.url = database.url()
        self._faults = Faults(seed, FAULTS)
        self.replicas = [
            replica(name, self.url, random.Random(f"{seed} {name}")) for name in "abc"[:REPLICAS]
        ]
        self._logs = [database.server.log]
        self._has_database = True

    @property
    def faults(self) -> Counter[str]:
        """How many faults of each kind there were."""
        return self._faults.counts

    @property
    def addresses(self) -> list[str]:
        """Where the replicas listen, whenever they do."""
        return [replica.address for replica in self.replicas]

    @property
    def restarts(self) -> int:
        """How often a replica was started that had lived before."""
        return sum(len(replica.lives) - 1 for replica in self.replicas)

    @property
    def deaths(self) -> int:
        """How often a replica found that it had expired, and others had recovered its orders."""
        return sum(
            "replica expired" in str(event)
            for replica in self.replicas
            for process in replica.lives
            for event in process.events()
        )

    async def befall(self, seconds: float) -> None:
        """Let one fault after the other begin for so long; all are over on return."""
        await self._faults.befall(seconds, self._befall)

    def _befall(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        self.check_alive()
        if fault.startswith("database"):
            self._befall_database(fault, tasks)
        else:
            self._befall_replica(fault, tasks)

    def check_alive(self) -> None:
        """Fail when a replica has ended that nobody told to."""
        for replica in self.replicas:
            if replica.is_up:
                replica.check_alive()

    async def stop(self) -> None:
        """Tell every replica to stop: all ends are then such as the run asked for."""
        await asyncio.gather(*(replica.stop_for_good() for replica in self.replicas))

    def _befall_database(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        if self._has_database:
            self._has_database = False
            does = self._crash if fault == "database crash" else self._restart
            self._faults.begin(fault, "", does, tasks)

    def _befall_replica(self, fault: str, tasks: asyncio.TaskGroup) -> None:
        chance = self._faults.chance
        up = [replica for replica in self.replicas if replica.is_up]
        if len(up) > 1 or (up and chance.random() < LAST_ONE):
            victim = chance.choice(up)
            victim.is_up = False
            does = {"kill": victim.kill, "freeze": victim.freeze, "stop": victim.stop}[fault]
            self._faults.begin(fault, victim.name, does, tasks)

    async def _crash(self) -> None:
        await asyncio.to_thread(self.database.kill)
        await asyncio.sleep(self._faults.chance.uniform(0, DOWN_SECONDS))
        await asyncio.to_thread(self.database.start)
        self._note_database()

    async def _restart(self) -> None:
        await asyncio.to_thread(self.database.restart)
        self._note_database()

    def _note_database(self) -> None:
        self._logs.append(self.database.server.log)
        self._has_database = True

    def keep(self, place: Path) -> None:
        """Write down what happened: the faults, every log, what the database holds."""
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath("faults.txt").write_text("\n".join(self._faults.story))
        for each in self.replicas:
            keep_logs(place, each.name, each.lives)
        for number, lines in enumerate(self._logs):
            place.joinpath(f"database-{number}.log").write_text("\n".join(lines))
        with suppress(AssertionError, TimeoutExpired):  # it may be away
            for table in _TABLES:
                rows = self.database.run_sql(f"TABLE orderintake.{table} ORDER BY 1")
                place.joinpath(f"{table}.txt").write_text(rows)


def replica(name: str, url: str, chance: random.Random) -> Replica:
    """Give a replica on a database, with or without notifications in each life."""

    def arguments() -> tuple[str, ...]:
        notify = chance.choice(["true", "true", "false"])
        return ("--store", url, "--replica", name, "--notify", notify, *_ARGUMENTS)

    freeze_seconds = (0.2 * LEASE_SECONDS, 3.0 * LEASE_SECONDS)
    return Replica(name, arguments, chance, freeze_seconds=freeze_seconds)


def keep_logs(place: Path, name: str, lives: Sequence[LoggedProcess]) -> None:
    """Write down what each life of a program logged."""
    for number, process in enumerate(lives):
        lines = [json.dumps(entry) for entry in list(process.log)]
        place.joinpath(f"{name}-{number}.jsonl").write_text("\n".join(lines))


@asynccontextmanager
async def shop(seed: int) -> AsyncIterator[Shop]:
    """Give replicas that all listen; what befalls them depends on the seed."""
    async with AsyncExitStack() as life:
        database = await asyncio.to_thread(life.enter_context, cluster())
        await postgres_schema.migrate(database.url())
        made = Shop(database, seed)
        for replica in made.replicas:
            life.callback(replica.end)
        # Where a run failed, threads may still be starting what is to be ended.
        life.push_async_callback(asyncio.get_running_loop().shutdown_default_executor)
        await asyncio.gather(*(replica.start() for replica in made.replicas))
        yield made
