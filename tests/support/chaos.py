"""The chaos run: replicas under load on one PostgreSQL, faults at random, and what must hold then.

PYTHONPATH=tests .venv/bin/python -m support.chaos --seconds 300 --seed 7
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orderintake import AsyncClient, Completion, State
from orderintake_server.errors import StartupFailed
from orderintake_server.store.postgres.audit import audit
from orderintake_server.telemetry import configure_log
from support.chaos_callers import Placers, Seen, Stayer, WaitingOrder, clients
from support.chaos_orders import Placed, wrong
from support.chaos_shop import FAULTS, Shop, shop

SETTLE_SECONDS = 120
"""In so long everything has ended once the faults are over."""
AUDIT_SECONDS = 4.0
"""Between two audits of the store in use."""
SHOWN = 20
"""Problems told, and orders named by each."""

_NOT_THE_LAST = """
SELECT count(*) FROM orderintake.log AS l JOIN orderintake.starts AS s USING (accept_sequence)
WHERE (l.start_sequence > 0 AND s.start_sequence > l.start_sequence)
  OR s.commit_number > l.commit_number
"""
"""Starts behind the one whose completion was taken: what was started anew elsewhere was fenced."""


class ChaosFailed(AssertionError):
    """Something was promised, and not kept."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What happened in a run in which all was well."""

    seed: int
    orders: int
    on_calls: int
    """Of these, those that PlaceOrders calls acknowledged."""
    misdeeds: Counter[str]
    """How often a handler did each of its misdeeds, counted by orders."""
    quarantined: int
    """Innocent ones that FAILED: this run ended or froze their servers too often meanwhile."""
    ends: Counter[str]
    starts: int
    faults: Counter[str]
    restarts: int
    deaths: int
    refusals: int
    cancelled: int
    """Calls that ended CANCELLED, though nobody cancelled them: P19 allows a few at a stop."""
    replays: int
    replays_on_calls: int
    moves: int
    settle_seconds: float

    def __str__(self) -> str:
        """Write it in one line."""
        ends = ", ".join(f"{count} {state}" for state, count in self.ends.most_common())
        faults = ", ".join(f"{fault}: {self.faults[fault]}" for fault in FAULTS)
        return (
            f"seed {self.seed}: {self.orders} orders, {self.on_calls} on PlaceOrders calls, "
            f"{self.ends.total()} completions ({ends}), "
            f"{self.starts} starts; {faults}; {self.restarts} restarts, {self.deaths} times taken "
            f"for dead, {self.refusals} refusals, {self.cancelled} unasked CANCELLED, "
            f"{self.replays} replays ({self.replays_on_calls} on PlaceOrders calls), "
            f"{self.moves} moves; {self.misdeeds.total()} orders whose "
            f"handler did one of {len(self.misdeeds)} misdeeds; 0 lost, 0 twice, 0 innocent ones "
            f"failed, {self.quarantined} quarantined by the kills of this run, 0 servers "
            "ended by anything else; "
            f"all had ended {self.settle_seconds:.1f} s after the last fault"
        )


async def chaos(seconds: float, *, seed: int, place: Path) -> Summary:
    """Let faults befall replicas for so long, let all finish, and check everything promised.

    Raises ChaosFailed, which tells the seed and what was wrong; what happened is kept in `place`.
    """
    async with shop(seed) as here:
        run = _Run(here, seed)
        try:
            await run.live(seconds)
            return await run.judge()
        except BaseException as error:
            await asyncio.to_thread(here.keep, place)
            if isinstance(error, Exception):
                raise ChaosFailed(f"seed {seed}, logs in {place}: {why(error)}") from error
            raise


class _Run:
    """One run, from the first order to the last check."""

    def __init__(self, here: Shop, seed: int) -> None:
        self._here = here
        self._seed = seed
        self._together = "ipv4:" + ",".join(here.addresses)
        self._mover = WaitingOrder(here.addresses, seed)
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
            self._placers = Placers(ways, self._seed)
            following = [tasks.create_task(seen.follow()) for seen in (self._mover, self._stayer)]
            following.append(tasks.create_task(self._audit_on()))
            placing = tasks.create_task(self._placers.place_on())
            await self._here.befall(seconds)
            self._placers.is_over = True
            began = time.monotonic()
            await placing
            await self._settle()
            self._settle_seconds = time.monotonic() - began
            for task in following:
                task.cancel()

    async def _audit_on(self) -> None:
        """Check the store again and again while it is used, whenever it is there."""
        while True:
            await asyncio.sleep(AUDIT_SECONDS)
            with suppress(StartupFailed):
                findings = await audit(self._here.url)
                assert not findings, f"in the midst of it: {findings}"

    async def _settle(self) -> None:
        """Wait until all that was placed has ended and been seen by everybody."""
        for name, seen in (("mover", self._mover), ("stayer", self._stayer)):
            await self._sees_all(name, seen)
        self._here.check_alive()

    async def _sees_all(self, name: str, seen: Seen) -> None:
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await seen.becomes(len(self._placed))
        except TimeoutError:
            missing = self._placed.keys() - {c.order.order_id for c in seen.seen}
            raise ChaosFailed(
                f"the {name} saw {len(seen.seen)} of {len(self._placed)} completions; there are "
                f"none of {sorted(missing)[:SHOWN]}"
            ) from None

    async def judge(self) -> Summary:
        """Compare everything with everything. Raises ChaosFailed."""
        assert self._placers
        whole_log = await self._whole_log()
        problems = [*self._wrong_log(whole_log), *await self._wrong_store()]
        for completion in whole_log:
            if placed := self._placed.get(completion.order.order_id):
                problems += [
                    f"{completion.order.order_id}: {what}" for what in wrong(placed, completion)
                ]
        if problems:
            raise ChaosFailed("\n".join([f"{len(problems)} problems", *problems[:SHOWN]]))
        starts = await self._ask("SELECT count(*) FROM orderintake.starts")
        await self._here.stop()
        return Summary(
            seed=self._seed,
            orders=len(self._placed),
            on_calls=self._placers.on_calls,
            misdeeds=self._misdeeds(whole_log),
            quarantined=self._quarantined(whole_log),
            ends=Counter(map(end_of, whole_log)),
            starts=int(starts),
            faults=self._here.faults,
            restarts=self._here.restarts,
            deaths=self._here.deaths,
            refusals=self._placers.refusals.total(),
            cancelled=self._placers.refusals["CANCELLED"],
            replays=self._placers.replays,
            replays_on_calls=self._placers.replays_on_calls,
            moves=self._mover.moves,
            settle_seconds=self._settle_seconds,
        )

    async def _whole_log(self) -> list[Completion]:
        async with AsyncClient(self._here.addresses[0]) as client:
            return [each async for each in client.list_completions(page_size=1_000)]

    def _misdeeds(self, whole_log: list[Completion]) -> Counter[str]:
        """Count what handlers did in orders that were given to one."""
        labels = [one.order.labels for one in whole_log if one.order.start_sequence]
        return Counter(each["misdeed"] for each in labels if "misdeed" in each)

    def _quarantined(self, whole_log: list[Completion]) -> int:
        """Count the innocent among those whose servers died too often."""
        found = [one.order.labels for one in whole_log if end_of(one) == "QUARANTINED"]
        return sum("misdeed" not in labels for labels in found)

    def _wrong_log(self, whole_log: list[Completion]) -> Iterator[str]:
        """Compare the log with what was acknowledged, and with what was seen of it."""
        ids = [completion.order.order_id for completion in whole_log]
        twice = [order_id for order_id, count in Counter(ids).items() if count > 1]
        lost = self._placed.keys() - set(ids)
        unknown = set(ids) - self._placed.keys()
        for what, orders in (("completed twice", twice), ("lost", lost), ("unknown", unknown)):
            if orders:
                yield f"{len(orders)} orders were {what}: {sorted(orders)[:SHOWN]}"
        if [completion.sequence for completion in whole_log] != list(range(1, len(ids) + 1)):
            yield "the log is not dense"
        for name, seen in (("mover", self._mover.seen), ("stayer", self._stayer.seen)):
            if seen != whole_log:
                yield f"the {name} saw {_difference(seen, whole_log)}"

    async def _wrong_store(self) -> list[str]:
        """Ask the database what no caller sees."""
        problems = [f"{finding}" for finding in await audit(self._here.url)]
        orders = await self._ask("SELECT count(*) FROM orderintake.orders")
        if int(orders) != len(self._placed):
            problems.append(f"{orders} orders are there, {len(self._placed)} were acknowledged")
        if (unfenced := await self._ask(_NOT_THE_LAST)) != "0":
            problems.append(f"{unfenced} starts are behind the one that was completed")
        return problems

    async def _ask(self, query: str) -> str:
        return await asyncio.to_thread(self._here.database.run_sql, query)


def end_of(completion: Completion) -> str:
    """Tell in a word how an order ended."""
    is_quarantined = completion.failure.code == "QUARANTINED"
    state = State.Name(completion.order.state).removeprefix("STATE_")
    return "QUARANTINED" if is_quarantined else state


def _difference(seen: list[Completion], whole_log: list[Completion]) -> str:
    """Tell where what was seen goes another way than the log."""
    for place, (one, other) in enumerate(zip(seen, whole_log, strict=False)):
        if one != other:
            return f"{one} at place {place + 1}, where {other} is"
    return f"{len(seen)} completions of {len(whole_log)}"


def why(error: BaseException) -> str:
    """Tell what was wrong, whatever groups it comes in."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(why, error.exceptions))
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Run it by command. Exits with 1, and tells why, when something was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = parser.parse_args()
    configure_log(form="text", level="warning")
    logging.getLogger("orderintake").setLevel(logging.ERROR)  # streams are lost all the time
    place = Path(tempfile.gettempdir(), f"chaos-{asked.seed}")
    try:
        summary = asyncio.run(chaos(asked.seconds, seed=asked.seed, place=place))
    except ChaosFailed as failed:
        sys.exit(f"FAILED: {failed}")
    sys.stdout.write(f"{summary}\n")


if __name__ == "__main__":
    main()
