"""The chaos run of workers: they are killed, frozen and stopped, their servers too, answers lost.

PYTHONPATH=tests .venv/bin/python -m support.worker_chaos sqlite --seconds 300 --seed 7
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orderintake import AsyncClient, Completion, State
from orderintake_server.telemetry import configure_log
from support.chaos import AUDIT_SECONDS, SETTLE_SECONDS, SHOWN, ChaosFailed, end_of, why
from support.chaos_callers import Placers, Stayer, clients
from support.chaos_orders import Placed, wrong
from support.fates import Fate, Fates, fates
from support.worker_chaos_orders import KINDS, attempted
from support.worker_chaos_shop import FAULTS, SERVERS, WorkShop, work_shop


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What happened in a run in which all was well."""

    seed: int
    kind: str
    orders: int
    ends: Counter[str]
    starts: int
    fates: Fates
    faults: Counter[str]
    lives: int
    replays: int
    settle_seconds: float

    def __str__(self) -> str:
        """Write it in one line."""
        ends = ", ".join(f"{count} {state}" for state, count in self.ends.most_common())
        faults = ", ".join(f"{fault}: {self.faults[fault]}" for fault in FAULTS)
        charged, returned = self.fates.of[Fate.CHARGED], self.fates.of[Fate.RETURNED]
        deaths = len({name for name, _ in charged})
        return (
            f"{self.kind}, seed {self.seed}: {self.orders} orders ({ends}), {self.starts} starts, "
            f"{self.lives} lives of workers; {faults}; {deaths} deaths with leases charged "
            f"{len(charged)} crashes, each once; {len(returned)} starts given back uncounted, "
            f"{len(self.fates.of[Fate.RETRIED])} retried; {self.replays} replays; 0 lost, 0 "
            f"twice, every audit clean; all had ended {self.settle_seconds:.1f} s after the last"
        )


async def worker_chaos(kind: str, seconds: float, *, seed: int, place: Path) -> Summary:
    """Let faults befall workers and servers for so long, let all finish, and check all of it.

    Raises ChaosFailed, which tells the seed and what was wrong; what happened is kept in `place`.
    """
    async with work_shop(kind, seed, place) as here:
        run = _Run(here, kind, seed)
        try:
            await run.live(seconds)
            return await run.judge()
        except BaseException as error:
            await asyncio.to_thread(here.keep, place)
            if isinstance(error, Exception):
                raise ChaosFailed(f"{kind}, seed {seed}, logs in {place}: {why(error)}") from error
            raise


class _Run:
    """One run, from the first order to the last check."""

    def __init__(self, here: WorkShop, kind: str, seed: int) -> None:
        self._here = here
        self._kind = kind
        self._seed = seed
        self._together = "ipv4:" + ",".join(here.addresses)
        self._stayer = Stayer(self._together)
        self._placers: Placers | None = None
        self._settle_seconds = 0.0

    @property
    def _placed(self) -> dict[str, Placed]:
        """What was acknowledged, by order_id."""
        assert self._placers
        return {placed.order_id: placed for placed in self._placers.placed.values()}

    async def live(self, seconds: float) -> None:
        """Place orders among faults for so long; all have ended, and been seen, on return."""
        async with (
            clients([*self._here.addresses, self._together]) as ways,
            asyncio.TaskGroup() as tasks,
        ):
            self._placers = Placers(ways, self._seed, KINDS)
            following = [tasks.create_task(each) for each in (self._stayer.follow(), self._audit())]
            placing = tasks.create_task(self._placers.place_on())
            await self._here.befall(seconds)
            self._placers.is_over = True
            began = time.monotonic()
            await placing
            await self._settle()
            self._settle_seconds = time.monotonic() - began
            for task in following:
                task.cancel()

    async def _audit(self) -> None:
        """Check the store again and again while it is used."""
        while True:
            await asyncio.sleep(AUDIT_SECONDS)
            findings = await asyncio.to_thread(self._here.store.audit)
            assert not findings, f"in the midst of it: {findings}"

    async def _settle(self) -> None:
        """Wait until all that was placed has ended and been seen."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._stayer.becomes(len(self._placed))
        except TimeoutError:
            missing = self._placed.keys() - {c.order.order_id for c in self._stayer.seen}
            raise ChaosFailed(f"there is no completion of {sorted(missing)[:SHOWN]}") from None
        self._here.check_alive()

    async def judge(self) -> Summary:
        """Compare everything with everything. Raises ChaosFailed."""
        assert self._placers
        async with AsyncClient(self._here.addresses[0]) as client:
            whole_log = [each async for each in client.list_completions(page_size=1_000)]
        await self._here.stop()
        found = await asyncio.to_thread(fates, self._here.store, whole_log)
        findings = await asyncio.to_thread(self._here.store.audit)
        problems = [*self._wrong_log(whole_log), *map(str, findings), *found.problems]
        problems += self._wrong_charges(found, whole_log)
        if problems:
            raise ChaosFailed("\n".join([f"{len(problems)} problems", *problems[:SHOWN]]))
        starts = await asyncio.to_thread(self._here.store.ask, "SELECT count(*) FROM seen_starts")
        return Summary(
            seed=self._seed,
            kind=self._kind,
            orders=len(self._placed),
            ends=Counter(map(end_of, whole_log)),
            starts=int(starts[0][0]),
            fates=found,
            faults=self._here.faults,
            lives=len(self._here.lives),
            replays=self._placers.replays,
            settle_seconds=self._settle_seconds,
        )

    def _wrong_log(self, whole_log: list[Completion]) -> Iterator[str]:
        """Compare the log with what was acknowledged, and with what was seen of it."""
        ids = Counter(completion.order.order_id for completion in whole_log)
        if twice := [order_id for order_id, count in ids.items() if count > 1]:
            yield f"completed twice: {twice[:SHOWN]}"
        if other := self._placed.keys() ^ ids.keys():
            yield f"lost, or unknown: {sorted(other)[:SHOWN]}"
        if self._stayer.seen != whole_log:
            yield "what was streamed is not what the log has"
        for completion in whole_log:
            if placed := self._placed.get(completion.order.order_id):
                for what in wrong(placed, completion):
                    yield f"{completion.order.order_id}: {what}"

    def _wrong_charges(self, found: Fates, whole_log: list[Completion]) -> Iterator[str]:
        """See that who died paid for what it had in hand, once, and nobody else for anything."""
        marks = self._here.marks
        for name, start in found.of[Fate.CHARGED]:
            if name not in marks.may_die:
                yield f"{name or 'somebody nameless'} was charged {start}, and nothing befell it"
        orders = {each.order.order_id: each.order for each in whole_log}
        became: dict[tuple[str, int, int], set[Fate]] = defaultdict(set)
        for fate, starts in found.of.items():
            for name, start in starts:
                became[name, start.accept, start.attempt].add(fate)
        for worker, journal in self._here.names().items():
            for attempt, left in attempted(journal).items():
                order = orders[attempt.order_id]
                ends = became[worker, order.accept_sequence, attempt.attempt]
                if ends == {Fate.RETURNED} and worker not in marks.may_return:
                    yield f"{worker} had {attempt} in hand, and it was given to others"
                if left and Fate.CHARGED not in ends and order.state != State.STATE_CANCELLED:
                    yield f"{worker} died with {attempt}, and it was no crash but {ends}"


def main() -> None:
    """Run it by command. Exits with 1, and tells why, when something was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", choices=[*SERVERS, []], help="both by default")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = parser.parse_args()
    configure_log(form="text", level="warning")
    logging.getLogger("orderintake").setLevel(logging.ERROR)  # streams are lost all the time
    for kind in asked.stores or SERVERS:
        place = Path(tempfile.mkdtemp(prefix=f"worker-chaos-{kind}-{asked.seed}-"))
        try:
            summary = asyncio.run(worker_chaos(kind, asked.seconds, seed=asked.seed, place=place))
        except ChaosFailed as failed:
            sys.exit(f"FAILED: {failed}")
        sys.stdout.write(f"{summary}\n")


if __name__ == "__main__":
    main()
