"""A whole server inside the test's own process, and a real channel to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.config import Settings
from orderintake_server.handlers import OrderAttempt, Shop, simulate
from orderintake_server.service import running

if TYPE_CHECKING:
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub

    Stub = OrderIntakeServiceAsyncStub
else:  # the generated stub is one class at run time, whatever the channel
    Stub = api_grpc.OrderIntakeServiceStub

Stream = grpc.aio.UnaryStreamCall[api.StreamCompletionsRequest, api.StreamCompletionsResponse]


@asynccontextmanager
async def serving(
    data: Path,
    *,
    handler: Callable[[OrderAttempt], Any] = simulate,
    workers: int = 1,
    max_attempts: int = 1,
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[Stub]:
    """Run a server on the data directory; give a stub that talks to it over a real channel."""
    async with listening(
        data, handler=handler, workers=workers, max_attempts=max_attempts, **settings
    ) as (_, stub):
        yield stub


@asynccontextmanager
async def listening(
    data: Path,
    *,
    handler: Callable[[OrderAttempt], Any] = simulate,
    workers: int = 1,
    max_attempts: int = 1,
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[tuple[str, Stub]]:
    """Run a server as `serving` does; give its address too."""
    chosen = Settings(
        listen=("127.0.0.1:0",),
        data=data,
        workers=workers,
        max_attempts=max_attempts,
        **{"drain_timeout": 5.0, "vip_reserve": 0.0, **settings},
    )
    async with (
        running(chosen, shop=Shop(handler=handler)) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        yield service.addresses[0], api_grpc.OrderIntakeServiceStub(channel)


async def completions(stub: Stub, count: int, *, after: str = "") -> list[order_pb2.Completion]:
    """Read `count` completions from a stream behind a cursor."""
    found: list[order_pb2.Completion] = []
    stream = stub.StreamCompletions(api.StreamCompletionsRequest(after_cursor=after))
    async for message in stream:
        found += message.completions
        if len(found) >= count:
            break
    stream.cancel()
    return found


async def read(stream: Stream) -> api.StreamCompletionsResponse:
    """Read the next message of a stream, which must not end."""
    message = await stream.read()
    assert isinstance(message, api.StreamCompletionsResponse)
    return message
