"""The completion log as a test looks at it: awaited, and read as messages."""

import asyncio
from typing import Any

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.domain import Completion
from orderintake_server.stream.log import CompletionLog


def encode(completion: Completion) -> bytes:
    """Encode as much of a completion as tests of the stream look at."""
    order = order_pb2.Order(customer_id=completion.order.customer_id)
    order.MergeFromString(b"" if completion.order.content == b"tea" else _padding(completion))
    told = order_pb2.Completion(sequence=completion.sequence, order=order)
    return api.StreamCompletionsResponse(completions=[told]).SerializeToString()


def _padding(completion: Completion) -> bytes:
    size = len(completion.order.content)
    return order_pb2.Order(order_id="x" * size).SerializeToString()


def sequences(encoded: bytes) -> list[int]:
    """Tell which completions are in a message."""
    message = api.StreamCompletionsResponse.FromString(encoded)
    return [completion.sequence for completion in message.completions]


class AwaitedCompletions(CompletionLog):
    """Completions whose head can be waited for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as Completions
        super().__init__(*arguments, **named)
        self._published = asyncio.Event()

    def publish(self, head: int) -> None:
        super().publish(head)
        self._published.set()

    async def head_beyond(self, position: int) -> None:
        """Wait until the log is known to go beyond a place."""
        while self.head <= position:
            self._published.clear()
            await self._published.wait()
