"""Completions as an asynchronous iterator that survives the loss of its connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from orderintake.access.headers import headers
from orderintake.errors import Unauthenticated, from_rpc
from orderintake.v1.order_intake_service_pb2 import StreamCompletionsResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from grpc.aio import UnaryStreamCall

    from orderintake.aio.bearer import AsyncBearer
    from orderintake.checkpoint import Checkpoint
    from orderintake.connections import Connections
    from orderintake.errors import OrderIntakeError
    from orderintake.streams.subscription import Batch, Subscription
    from orderintake.v1.order_intake_service_pb2 import StreamCompletionsRequest
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub
    from orderintake.v1.order_pb2 import Completion

    _Call = UnaryStreamCall[StreamCompletionsRequest, StreamCompletionsResponse]

_T = TypeVar("_T")


class AsyncCompletions:
    """Completions in the order of their sequence, without end: an iterator inside its block.

    When the connection is lost or the server restarts, the stream is resumed from its cursor, for
    as long as that takes. Each completion is still delivered once; the logger "orderintake" warns.
    One task iterates; any task may close.

    With a checkpoint the cursor is saved when the subscriber has handled all that was received
    together and asks for more, and when it leaves the block. If it leaves by an exception, what was
    delivered last counts as not handled, and is delivered again the next time.
    """

    def __init__(
        self,
        connections: Connections[OrderIntakeServiceAsyncStub, Any],
        subscription: Subscription,
        checkpoint: Checkpoint | None,
        bearer: AsyncBearer,
    ) -> None:
        """See AsyncClient.completions."""
        self._connections = connections
        self._subscription = subscription
        self._checkpoint = checkpoint
        self._bearer = bearer
        self._shown: str | None = None
        self._call: _Call | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Wait until the subscription is established: no later completion can be missed.

        Raises:
            CursorRejected: the server cannot go on from the cursor.
            TooManyStreams: the server has no room for another subscriber now.
            Unauthenticated, NotAllowed: the server does not know the caller, or does not let it.
            Unavailable: no server was reached in five attempts.
            DeadlineExceeded: the server did not answer within the client's `timeout`.
            RuntimeError: the block was entered before.
            Exception: the checkpoint, or the function that was given for tokens, raised it.
        """
        self._subscription.begin()
        self._stub = self._connections.join(self)
        try:
            await self._load()
            while not (self._subscription.established or self._subscription.ended):
                await self._advance()
            await self._save(self._subscription.progress.to_save())
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
        await self._save(self._subscription.progress.to_save_at_end(failed=kind is not None))

    @property
    def cursor(self) -> str:
        """The cursor after what was delivered: `after` it, nothing is repeated and nothing missed.

        It also moves when the server says that there was nothing to deliver.
        """
        return self._subscription.cursor

    def __aiter__(self) -> AsyncIterator[Completion]:
        """Return itself."""
        return self

    async def __anext__(self) -> Completion:
        """Wait for the next completion; the iteration ends only when the stream was closed.

        Raises:
            CompletionGap: a sequence number is missing or repeated.
            CursorRejected: the server restarted with another log, or an older copy of it.
            OrderIntakeError: another error that reconnecting cannot repair.
        """
        completion = await self._next(self._subscription.next_completion)
        if completion is None:
            raise StopAsyncIteration
        return completion

    async def batches(self) -> AsyncIterator[Batch]:
        """Iterate over batches: what was received together, with the cursor after it.

        Use it to handle many at once, or to store the cursor and the effects in one transaction.

        Raises:
            OrderIntakeError: as the iteration over single completions does.
        """
        while (batch := await self._next(self._subscription.next_batch)) is not None:
            yield batch

    async def _next(self, read: Callable[[], _T | None]) -> _T | None:
        """Return what is there, or wait for it; None once the stream was closed."""
        self._subscription.progress.handled()
        while not self._subscription.ended:
            found = read()
            if found is not None:
                return found
            await self._save(self._subscription.progress.to_save())
            await self._advance()
        return None

    async def _load(self) -> None:
        """Resume from the checkpoint's cursor, if it has one."""
        if self._checkpoint is not None:
            cursor = await asyncio.to_thread(self._checkpoint.load)
            if cursor is not None:
                self._subscription.resume_from(cursor)

    async def _save(self, cursor: str | None) -> None:
        """Save this cursor, unless it is None or there is no checkpoint."""
        if self._checkpoint is not None and cursor is not None:
            await asyncio.to_thread(self._checkpoint.save, cursor)
            self._subscription.progress.saved(cursor)

    def close(self) -> None:
        """End the stream, from any task; an iterator that waits ends as well."""
        self._subscription.end()
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        self._connections.leave(self)

    async def _advance(self) -> None:
        """Wait for one message of the stream or its loss; open a stream first if none is open."""
        call = self._call or await self._open()
        if call is None:
            return
        try:
            response = await self._read(call)
        except grpc.RpcError as error:
            self._call = None
            await self._come_back(from_rpc(error))
        else:
            self._call = call if response else None
            self._subscription.received(response)

    async def _come_back(self, error: OrderIntakeError) -> None:
        """Prepare to open the stream again; with another token, if that is what it takes.

        Raises:
            OrderIntakeError: the error, if it takes something else.
            Exception: the function that was given for tokens raised it.
        """
        is_expired = isinstance(error, Unauthenticated) and self._bearer.may_renew(
            self._shown, error
        )
        if is_expired and self._subscription.goes_on_renewed():
            await self._bearer.renewed(self._shown)
        else:
            self._subscription.lost(error)

    async def _open(self) -> _Call | None:
        """Open a stream after the backoff; None if the subscription was closed meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._subscription.backoff):
                await self._closed.wait()
        if not self._subscription.ended:
            self._shown = await self._bearer.token()
        if not self._subscription.ended:
            self._call = self._stub.StreamCompletions(
                self._subscription.request(), metadata=headers(self._shown)
            )
        return self._call

    async def _read(self, call: _Call) -> StreamCompletionsResponse | None:
        """Read one message; None when the stream ended, or was silent for too long.

        In grpc, cancelling a read cancels its call, and the next read of that call would look like
        a normal end. So the call is dropped, and a new one resumes the stream.
        """
        try:
            async with asyncio.timeout(self._subscription.silence_limit()):
                response = await call.read()
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            self._call = None
            if self._subscription.ended and not _is_cancelled():
                return None  # close() cancelled the call; nothing cancelled this task
            raise
        return response if isinstance(response, StreamCompletionsResponse) else None  # else EOF


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
