"""AsyncClient with the surface of Client, so that one test can hold both to the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from orderintake import (
    AsyncClient,
    AsyncCompletions,
    AsyncPlacing,
    Batch,
    CancelOrderResponse,
    CancelOrdersResponse,
    Completion,
    FailedOrder,
    GetOrderResponse,
    GetQueueStatsResponse,
    ListFailuresResponse,
    ListServersResponse,
    ListSubscribersResponse,
    ListWorkersResponse,
    NewOrder,
    OperatorAction,
    Order,
    PlaceOrderRequest,
    PlaceOrderResponse,
    RedriveOrderResponse,
    RedriveOrdersResponse,
    Tier,
)

T = TypeVar("T")


Connect = Callable[..., Any]
"""Makes either client; both have the same surface."""


class BlockingClient:
    """Runs each of AsyncClient's coroutines to its end, on a loop of its own."""

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30,
        **options: Any,  # noqa: ANN401 - as AsyncClient's
    ) -> None:
        self._client = AsyncClient(target, timeout=timeout, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self._enter(self._client.__aenter__)

    def _enter(self, entering: Callable[[], Coroutine[Any, Any, object]]) -> Self:
        try:
            self._runner.run(entering())
        except BaseException:  # nobody will leave what could not be entered
            self._runner.close()
            self._runner = asyncio.Runner()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._client.__aexit__(kind, error, trace))
        self._runner.close()

    def open(self) -> Self:
        return self._enter(self._client.open)

    def close(self) -> None:
        self._runner.run(self._client.close())

    def place(self, **order: Unpack[NewOrder]) -> PlaceOrderResponse:
        return self._runner.run(self._client.place(**order))

    def place_batch(
        self, orders: Iterable[NewOrder | PlaceOrderRequest]
    ) -> list[PlaceOrderResponse]:
        return self._runner.run(self._client.place_batch(orders))

    def get(self, order_id: str | None = None, **number: Any) -> GetOrderResponse:  # noqa: ANN401
        return self._runner.run(self._client.get(order_id, **number))

    def cancel(self, order_id: str) -> CancelOrderResponse:
        return self._runner.run(self._client.cancel(order_id))

    def orders(self, **filters: Any) -> Iterator[Order]:  # noqa: ANN401 - as AsyncClient's
        return self._each(self._client.orders(**filters))

    def list_completions(self, **filters: Any) -> Iterator[Completion]:  # noqa: ANN401 - as above
        return self._each(self._client.list_completions(**filters))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(items, None)

        while (item := self._runner.run(following())) is not None:
            yield item

    def queue_stats(self) -> GetQueueStatsResponse:
        return self._runner.run(self._client.queue_stats())

    def pause_tier(self, tier: Tier.ValueType) -> None:
        self._runner.run(self._client.pause_tier(tier))

    def resume_tier(self, tier: Tier.ValueType) -> None:
        self._runner.run(self._client.resume_tier(tier))

    def redrive(self, order_id: str) -> RedriveOrderResponse:
        return self._runner.run(self._client.redrive(order_id))

    def operator_actions(self, **filters: Any) -> Iterator[OperatorAction]:  # noqa: ANN401 - as above
        return self._each(self._client.operator_actions(**filters))

    def failures(self, **filters: Any) -> Iterator[FailedOrder]:  # noqa: ANN401 - as above
        return self._each(self._client.failures(**filters))

    def first_failures(self, **filters: Any) -> ListFailuresResponse:  # noqa: ANN401 - as above
        return self._runner.run(self._client.first_failures(**filters))

    def redrive_orders(self, **asked: Any) -> RedriveOrdersResponse:  # noqa: ANN401 - as above
        return self._runner.run(self._client.redrive_orders(**asked))

    def cancel_orders(self, **asked: Any) -> CancelOrdersResponse:  # noqa: ANN401 - as above
        return self._runner.run(self._client.cancel_orders(**asked))

    def servers(self) -> ListServersResponse:
        return self._runner.run(self._client.servers())

    def subscribers(self) -> ListSubscribersResponse:
        return self._runner.run(self._client.subscribers())

    def workers(self) -> ListWorkersResponse:
        return self._runner.run(self._client.workers())

    def placing(self) -> "BlockingPlacing":
        return BlockingPlacing(self._runner, self._client.placing())

    def completions(self, **options: Any) -> "BlockingCompletions":  # noqa: ANN401 - as above
        return BlockingCompletions(self._runner, self._client.completions(**options))


class _Block:
    """Enters and leaves a block of the asynchronous client's."""

    def __init__(
        self, runner: asyncio.Runner, block: AbstractAsyncContextManager[Any, Any]
    ) -> None:
        self._runner = runner
        self._block = block

    def __enter__(self) -> Self:
        self._runner.run(self._block.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._block.__aexit__(kind, error, trace))


class BlockingCompletions(_Block):
    """Runs each of AsyncCompletions's coroutines to its end."""

    def __init__(self, runner: asyncio.Runner, completions: AsyncCompletions) -> None:
        super().__init__(runner, completions)
        self._completions = completions

    @property
    def cursor(self) -> str:
        return self._completions.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Completion:
        completion = self._runner.run(self._next())
        if completion is None:
            raise StopIteration
        return completion

    async def _next(self) -> Completion | None:
        return await anext(self._completions, None)

    def batches(self) -> Iterator[Batch]:
        batches = self._completions.batches()

        async def following() -> Batch | None:
            return await anext(batches, None)

        while (batch := self._runner.run(following())) is not None:
            yield batch

    def close(self) -> None:
        self._completions.close()


class BlockingPlacing(_Block):
    """Runs each of AsyncPlacing's coroutines to its end."""

    def __init__(self, runner: asyncio.Runner, placing: AsyncPlacing) -> None:
        super().__init__(runner, placing)
        self._placing = placing

    def place(self, **order: Unpack[NewOrder]) -> "BlockingPlaced":
        return BlockingPlaced(self._runner, self._runner.run(self._placing.place(**order)))

    def place_message(self, order: PlaceOrderRequest) -> "BlockingPlaced":
        return BlockingPlaced(self._runner, self._runner.run(self._placing.place_message(order)))

    def close(self) -> None:
        self._placing.close()


class BlockingPlaced:
    """The future of a receipt, with what threads' futures have."""

    def __init__(
        self, runner: asyncio.Runner, placed: "asyncio.Future[PlaceOrderResponse]"
    ) -> None:
        self._runner = runner
        self._placed = placed

    def done(self) -> bool:
        return self._placed.done()

    def result(self) -> PlaceOrderResponse:
        async def waiting() -> PlaceOrderResponse:
            return await self._placed

        if self._placed.done():
            return self._placed.result()
        return self._runner.run(waiting())

    def exception(self) -> BaseException | None:
        try:
            self.result()
        except Exception as error:  # noqa: BLE001 - whatever it is
            return error
        return None
