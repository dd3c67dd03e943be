"""Who place and cancel orders in the chaos run, and who follow the log; none ever gives up."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import grpc

from orderintake import (
    AsyncClient,
    AsyncCompletions,
    Batch,
    Completion,
    DeadlineExceeded,
    OrderIntakeError,
    PlaceOrderResponse,
    Unavailable,
)
from support.chaos_orders import KINDS, Placed, make

PLACERS = 12
PAUSE_SECONDS = 0.12
"""Of a placer between two orders, on average."""
CALL_SECONDS = 3.0
"""A call goes to another replica then."""
ANSWER_SECONDS = 120.0
"""In so long some replica answers, whatever happens."""
SILENCE_SECONDS = 1.2
"""With nothing new for so long, a subscriber tries another replica."""
MOST_IN_BATCH = 12
PLACERS_ON_CALLS = 3
"""Of the placers, those who place on PlaceOrders calls, without waiting for one order's receipt."""
MOST_ON_A_CALL = 30
PAUSES_ON_A_CALL = 0.2
"""Behind one order in five there is a pause, five times as long as the others'."""
TWICE = 0.05
"""How likely two callers at once place the same."""

_T = TypeVar("_T")


class Placers:
    """Those who place orders, each until it is acknowledged."""

    def __init__(
        self, clients: list[AsyncClient], seed: int, kinds: Mapping[str, int] = KINDS
    ) -> None:
        """Place orders of these kinds by any of the clients; what is placed depends on the seed."""
        self.placed: dict[str, Placed] = {}
        """What was acknowledged, by request_id."""
        self.on_calls = 0
        """How many receipts PlaceOrders calls gave; next, how many of these and of all repeat."""
        self.replays_on_calls = self.replays = 0
        self.refusals: Counter[str] = Counter()
        self.is_over = False
        self._clients = clients
        self._seed = seed
        self._make = partial(make, kinds=kinds)

    async def place_on(self) -> None:
        """Place orders until it is over; all are acknowledged on return."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(PLACERS):
                place = self._place_on_calls if number < PLACERS_ON_CALLS else self._place_on
                tasks.create_task(place(number), name=f"placer-{number}")

    async def _place_on(self, placer: int) -> None:
        chance = random.Random(f"{self._seed} placer {placer}")
        number = 0
        while not self.is_over:
            await asyncio.sleep(chance.expovariate(1 / PAUSE_SECONDS))
            count = chance.randint(2, MOST_IN_BATCH) if chance.random() < 0.02 else 1
            orders = [self._make(chance, f"{placer}-{number + more}") for more in range(count)]
            number += count
            if count > 1:
                await self._place_batch(orders, chance)
            else:
                await self._place_one(orders[0], chance)

    async def _place_batch(self, orders: list[Placed], chance: random.Random) -> None:
        batch = [order.wanted for order in orders]
        receipts = await self._insist(lambda client: client.place_batch(batch), chance)
        for order, receipt in zip(orders, receipts, strict=True):
            self._acknowledge(order, receipt)

    async def _place_one(self, order: Placed, chance: random.Random) -> None:
        """Place an order, now and then by two callers at once; perhaps cancel it."""
        receipts = await self._by_some(lambda client: client.place(**order.wanted), chance)
        for receipt in receipts:
            self._acknowledge(order, receipt)
        if chance.random() < 0.08:
            await asyncio.sleep(chance.choice([0, 0, 0.05, 0.5]))
            answer = await self._insist(lambda client: client.cancel(order.order_id), chance)
            order.cancelled = answer

    async def _place_on_calls(self, placer: int) -> None:
        """Place orders on one block after the other; what has no receipt goes to the next one."""
        chance = random.Random(f"{self._seed} placer {placer}")
        number = 0
        while not self.is_over:
            count = chance.randint(1, MOST_ON_A_CALL)
            orders = [self._make(chance, f"{placer}-{number + more}") for more in range(count)]
            number += count
            await self._by_some(partial(self._place_all, orders, chance), chance)

    async def _place_all(
        self, orders: list[Placed], chance: random.Random, client: AsyncClient
    ) -> None:
        """Place those that have no receipt yet. Raises what kept any of them from having one."""
        asked: list[tuple[Placed, asyncio.Future[PlaceOrderResponse]]] = []
        try:
            async with client.placing() as placing:
                for order in [each for each in orders if not each.order_id]:
                    asked.append((order, await placing.place(**order.wanted)))
                    if chance.random() < PAUSES_ON_A_CALL:
                        await asyncio.sleep(chance.expovariate(PAUSES_ON_A_CALL / PAUSE_SECONDS))
        finally:
            for order, placed in asked:
                if placed.done() and not placed.exception():
                    self._acknowledge(order, placed.result())
                    self.on_calls += 1
                    self.replays_on_calls += placed.result().replayed
        for _, placed in asked:
            placed.result()

    def _acknowledge(self, order: Placed, receipt: PlaceOrderResponse) -> None:
        """Check P2: one request_id is one order, for ever."""
        request_id = order.wanted["labels"]["request_id"]  # type: ignore[index] # each has labels
        assert order.order_id in {"", receipt.order.order_id}, f"{request_id} made two orders"
        order.order_id = receipt.order.order_id
        self.placed[request_id] = order
        self.replays += receipt.replayed

    async def _by_some(
        self, call: Callable[[AsyncClient], Awaitable[_T]], chance: random.Random
    ) -> list[_T]:
        """Let a caller insist, now and then two at once."""
        callers = 2 if chance.random() < TWICE else 1
        return await asyncio.gather(*(self._insist(call, chance) for _ in range(callers)))

    async def _insist(
        self, call: Callable[[AsyncClient], Awaitable[_T]], chance: random.Random
    ) -> _T:
        """Ask one replica or another until one answers."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return await call(chance.choice(self._clients))
                except OrderIntakeError as error:
                    if not _may_be_repeated(error):
                        raise
                    self.refusals[error.reason or error.code.name] += 1


def _may_be_repeated(error: OrderIntakeError) -> bool:
    """Tell whether another replica may answer; nobody here cancels, so CANCELLED says no more."""
    is_cancelled = error.code is grpc.StatusCode.CANCELLED
    return is_cancelled or isinstance(error, Unavailable | DeadlineExceeded)


class Seen:
    """What a subscriber has seen, awaited."""

    def __init__(self) -> None:
        self.seen: list[Completion] = []
        self._has_grown = asyncio.Event()

    def see(self, batch: Batch) -> None:
        """See some more."""
        self.seen += batch.completions
        self._has_grown.set()

    async def becomes(self, count: int) -> None:
        """Wait until so many were seen."""
        while len(self.seen) < count:
            self._has_grown.clear()
            await self._has_grown.wait()


class WaitingOrder(Seen):
    """A subscriber of one replica, which goes to another with its cursor when nothing comes."""

    def __init__(self, addresses: list[str], seed: int) -> None:
        """Begin anywhere."""
        super().__init__()
        self.moves = 0
        self._addresses = addresses
        self._cursor: str | None = None
        self._chance = random.Random(f"{seed} mover")

    async def follow(self) -> None:
        """See every completion, for ever."""
        address = self._chance.choice(self._addresses)
        while True:
            with suppress(Unavailable, DeadlineExceeded, TimeoutError):
                await self._follow(address)
            self.moves += 1
            address = self._chance.choice([other for other in self._addresses if other != address])

    async def _follow(self, address: str) -> None:
        """Read at one replica until it falls silent."""
        async with (
            AsyncClient(address, timeout=CALL_SECONDS) as client,
            client.completions(after=self._cursor, heartbeat_interval=1) as completions,
        ):
            batches = completions.batches()
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    batch = await anext(batches)
                self.see(batch)
                self._cursor = batch.cursor


class Stayer(Seen):
    """A subscriber of all replicas together, who lets the client find one that lives."""

    def __init__(self, target: str) -> None:
        """Follow whatever of the target answers."""
        super().__init__()
        self._target = target

    async def follow(self) -> None:
        """See every completion, for ever."""
        async with (
            AsyncClient(self._target) as client,
            client.completions(heartbeat_interval=1) as completions,
        ):
            await self._read(completions)

    async def _read(self, completions: AsyncCompletions) -> None:
        async for batch in completions.batches():
            self.see(batch)


@asynccontextmanager
async def clients(targets: list[str]) -> AsyncIterator[list[AsyncClient]]:
    """Give a client for each target."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(AsyncClient(target, timeout=CALL_SECONDS))
            for target in targets
        ]
