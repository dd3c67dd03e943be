"""The completion log as a test looks at it: awaited, and read as messages."""

import asyncio
from typing import Any

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.rows import CompletionRow
from orderintake_server.stream.log import CompletionLog


def encode(row: CompletionRow) -> bytes:
    """Encode as much of a completion as tests of the stream look at."""
    order = order_pb2.Order(customer_id=row.customer_id)
    order.order_id = "" if row.content == b"tea" else "x" * len(row.content)
    told = order_pb2.Completion(sequence=row.sequence, order=order)
    return api.StreamCompletionsResponse(completions=[told]).SerializeToString()


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
