"""Completions as an asynchronous iterator, which goes on whatever happens to its connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from orderintake.errors import from_rpc
from orderintake.v1.order_intake_service_pb2 import StreamCompletionsResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from grpc.aio import UnaryStreamCall

    from orderintake.checkpoint import Checkpoint
    from orderintake.subscription import Batch, Subscription
    from orderintake.v1.order_intake_service_pb2 import StreamCompletionsRequest
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub
    from orderintake.v1.order_pb2 import Completion

    _Call = UnaryStreamCall[StreamCompletionsRequest, StreamCompletionsResponse]

_Taken = TypeVar("_Taken")


class AsyncCompletions:
    """Completions in the order of their sequence, without end: an iterator inside its block.

    A lost connection or a server that restarts goes unseen: the stream is resumed from its cursor,
    for as long as it takes, and each completion comes once; the logger "orderintake" tells of it.
    One task iterates; any may close.

    With a checkpoint the cursor is stored when all that came together was handled, that is, when
    more is asked for; and when the block is left. Left by an exception, what was handed out last
    counts as not handled, and comes again the next time.
    """

    def __init__(
        self,
        stub: OrderIntakeServiceAsyncStub,
        subscription: Subscription,
        open_streams: set[AsyncCompletions],
        checkpoint: Checkpoint | None,
    ) -> None:
        """See Client.completions."""
        self._stub = stub
        self._subscription = subscription
        self._open_streams = open_streams
        self._checkpoint = checkpoint
        self._call: _Call | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Wait until the subscription stands: from here on no completion can be missed.

        Raises:
            CursorRejected: the server cannot go on from the cursor.
            Unavailable: five attempts found no server.
            DeadlineExceeded: the server did not answer within the client's `timeout`.
            RuntimeError: it was entered before.
            Exception: whatever the checkpoint raises.
        """
        self._subscription.begin()
        self._open_streams.add(self)
        try:
            await self._load()
            while not (self._subscription.stands or self._subscription.ended):
                await self._advance()
            await self._save(self._subscription.progress.due())
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server's stream at once."""
        self.close()
        await self._save(self._subscription.progress.last(failed=kind is not None))

    @property
    def cursor(self) -> str:
        """The place behind what was handed out: `after` it, nothing is repeated and nothing missed.

        It also moves when the server says that there was nothing to hand out.
        """
        return self._subscription.cursor

    def __aiter__(self) -> AsyncIterator[Completion]:
        """Return itself."""
        return self

    async def __anext__(self) -> Completion:
        """Wait for the next completion; the iteration ends only when the stream was closed.

        Raises:
            CompletionGap: the sequence has a hole or a repeat.
            CursorRejected: the server came back with another log, or an older one.
            OrderIntakeError: coming back is no use for another reason.
        """
        completion = await self._next(self._subscription.take)
        if completion is None:
            raise StopAsyncIteration
        return completion

    async def batches(self) -> AsyncIterator[Batch]:
        """Iterate over what came together, each with the cursor behind it.

        For who handles many at once, or stores the cursor in the same transaction as their effect.

        Raises:
            OrderIntakeError: as the iteration over single completions does.
        """
        while (batch := await self._next(self._subscription.take_batch)) is not None:
            yield batch

    async def _next(self, take: Callable[[], _Taken | None]) -> _Taken | None:
        """Take what is there, or wait for it; None once the stream was closed."""
        self._subscription.progress.asked()
        while not self._subscription.ended:
            taken = take()
            if taken is not None:
                return taken
            await self._save(self._subscription.progress.due())
            await self._advance()
        return None

    async def _load(self) -> None:
        """Go on where the checkpoint says."""
        if self._checkpoint is not None:
            cursor = await asyncio.to_thread(self._checkpoint.load)
            if cursor is not None:
                self._subscription.go_on(cursor)

    async def _save(self, cursor: str | None) -> None:
        """Store a cursor, if it is worth it and there is a checkpoint."""
        if self._checkpoint is not None and cursor is not None:
            await asyncio.to_thread(self._checkpoint.save, cursor)
            self._subscription.progress.stored(cursor)

    def close(self) -> None:
        """End the stream, from any task; an iterator that waits ends too."""
        self._subscription.end()
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        self._open_streams.discard(self)

    async def _advance(self) -> None:
        """Wait for one message of the stream, opened first if need be, or for its loss."""
        call = self._call or await self._open()
        if call is None:
            return
        try:
            response = await self._read(call)
        except grpc.RpcError as error:
            self._call = None
            self._subscription.lost(from_rpc(error))
        else:
            self._call = call if response else None
            self._subscription.received(response)

    async def _open(self) -> _Call | None:
        """Open a stream when it is time; None if the subscription was closed meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._subscription.pause):
                await self._closed.wait()
        if not self._subscription.ended:
            self._call = self._stub.StreamCompletions(self._subscription.request())
        return self._call

    async def _read(self, call: _Call) -> StreamCompletionsResponse | None:
        """Read one message; None at the stream's end, or after silence for too long.

        A read that is cancelled takes its call with it, and the next read of that call would look
        like a normal end (grpc). So the call is let go, and the stream resumed by a new one.
        """
        try:
            async with asyncio.timeout(self._subscription.patience()):
                response = await call.read()
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            self._call = None
            if self._subscription.ended and not _is_cancelled():
                return None  # by close(): it cancelled the call, nobody this task
            raise
        return response if isinstance(response, StreamCompletionsResponse) else None  # else EOF


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
