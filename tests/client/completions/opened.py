"""Completions of a subscription that the test made, over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import grpc

from client.blocking import BlockingCompletions
from orderintake import AsyncCompletions, Completions
from orderintake.access.identity import Identity
from orderintake.aio.bearer import AsyncBearer
from orderintake.connections import Connections
from orderintake.streams.subscription import Subscription
from orderintake.sync.bearer import Bearer
from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub

Opened = Callable[[str, Subscription], AbstractContextManager[Any]]
"""Opens either client's completions from the server at a target."""

NOBODY = Identity(api_key=None, token=None)


def alone(stub: Any) -> Connections[Any, Any]:  # noqa: ANN401 - of either of grpc's stacks
    """Give the connections of a client that has one, and needs no other."""
    return Connections(stub, lambda: stub)


@contextmanager
def completions_of(target: str, subscription: Subscription) -> Iterator[Completions]:
    """The synchronous client's."""
    with grpc.insecure_channel(target) as channel:
        stub = OrderIntakeServiceStub(channel)
        bearer = Bearer(NOBODY)
        with Completions(alone(stub), subscription, None, bearer) as completions:
            yield completions


@asynccontextmanager
async def async_completions_of(
    target: str, subscription: Subscription
) -> AsyncIterator[AsyncCompletions]:
    """The asynchronous client's."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = OrderIntakeServiceStub(channel)
        bearer = AsyncBearer(NOBODY)
        async with AsyncCompletions(alone(stub), subscription, None, bearer) as completions:
            yield completions


@contextmanager
def blocking_completions_of(
    target: str, subscription: Subscription
) -> Iterator[BlockingCompletions]:
    """The asynchronous client's, with the surface of the synchronous one's."""
    with asyncio.Runner() as runner:
        opened = async_completions_of(target, subscription)
        completions = runner.run(opened.__aenter__())
        yield BlockingCompletions(runner, completions)
        runner.run(opened.__aexit__(None, None, None))
