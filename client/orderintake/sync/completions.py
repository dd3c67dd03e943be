"""Completions as an iterator, which goes on whatever happens to its connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from orderintake.errors import from_rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from grpc import _CallIterator

    from orderintake.checkpoint import Checkpoint
    from orderintake.subscription import Batch, Subscription
    from orderintake.v1.order_intake_service_pb2 import StreamCompletionsResponse
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub
    from orderintake.v1.order_pb2 import Completion

_Taken = TypeVar("_Taken")


class Completions:
    """Completions in the order of their sequence, without end: an iterator inside its block.

    A lost connection or a server that restarts goes unseen: the stream is resumed from its cursor,
    for as long as it takes, and each completion comes once; the logger "orderintake" tells of it.
    One thread iterates; any may close.

    With a checkpoint the cursor is stored when all that came together was handled, that is, when
    more is asked for; and when the block is left. Left by an exception, what was handed out last
    counts as not handled, and comes again the next time.
    """

    def __init__(
        self,
        stub: OrderIntakeServiceStub,
        subscription: Subscription,
        open_streams: set[Completions],
        checkpoint: Checkpoint | None,
    ) -> None:
        """See Client.completions."""
        self._stub = stub
        self._subscription = subscription
        self._open_streams = open_streams
        self._checkpoint = checkpoint
        self._call: _CallIterator[StreamCompletionsResponse] | None = None
        self._opening = threading.Lock()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
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
            self._load()
            while not (self._subscription.stands or self._subscription.ended):
                self._advance()
            self._save(self._subscription.progress.due())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server's stream at once."""
        self.close()
        self._save(self._subscription.progress.last(failed=kind is not None))

    @property
    def cursor(self) -> str:
        """The place behind what was handed out: `after` it, nothing is repeated and nothing missed.

        It also moves when the server says that there was nothing to hand out.
        """
        return self._subscription.cursor

    def __iter__(self) -> Iterator[Completion]:
        """Return itself."""
        return self

    def __next__(self) -> Completion:
        """Wait for the next completion; the iteration ends only when the stream was closed.

        Raises:
            CompletionGap: the sequence has a hole or a repeat.
            CursorRejected: the server came back with another log, or an older one.
            OrderIntakeError: coming back is no use for another reason.
        """
        completion = self._next(self._subscription.take)
        if completion is None:
            raise StopIteration
        return completion

    def batches(self) -> Iterator[Batch]:
        """Iterate over what came together, each with the cursor behind it.

        For who handles many at once, or stores the cursor in the same transaction as their effect.

        Raises:
            OrderIntakeError: as the iteration over single completions does.
        """
        while (batch := self._next(self._subscription.take_batch)) is not None:
            yield batch

    def _next(self, take: Callable[[], _Taken | None]) -> _Taken | None:
        """Take what is there, or wait for it; None once the stream was closed."""
        self._subscription.progress.asked()
        while not self._subscription.ended:
            taken = take()
            if taken is not None:
                return taken
            self._save(self._subscription.progress.due())
            self._advance()
        return None

    def _load(self) -> None:
        """Go on where the checkpoint says."""
        if self._checkpoint is not None:
            cursor = self._checkpoint.load()
            if cursor is not None:
                self._subscription.go_on(cursor)

    def _save(self, cursor: str | None) -> None:
        """Store a cursor, if it is worth it and there is a checkpoint."""
        if self._checkpoint is not None and cursor is not None:
            self._checkpoint.save(cursor)
            self._subscription.progress.stored(cursor)

    def close(self) -> None:
        """End the stream, from any thread; an iterator that waits ends too."""
        with self._opening:
            self._subscription.end()
            self._closed.set()
            if self._call is not None:
                self._call.cancel()
        self._open_streams.discard(self)

    def _advance(self) -> None:
        """Wait for one message of the stream, opened first if need be, or for its loss."""
        call = self._call or self._open()
        if call is None:
            return
        try:
            response = self._read(call)
        except grpc.RpcError as error:
            self._call = None
            self._subscription.lost(from_rpc(error))
        else:
            self._call = call if response else None
            self._subscription.received(response)

    def _open(self) -> _CallIterator[StreamCompletionsResponse] | None:
        """Open a stream when it is time; None if the subscription was closed meanwhile."""
        self._closed.wait(self._subscription.pause)
        with self._opening:
            if not self._subscription.ended:
                self._call = self._stub.StreamCompletions(self._subscription.request())
        return self._call

    def _read(
        self, call: _CallIterator[StreamCompletionsResponse]
    ) -> StreamCompletionsResponse | None:
        """Read one message; silence for too long cancels the call, which makes grpc raise.

        A read that is interrupted, as by Ctrl-C, takes its call with it; the next one resumes.
        """
        alarm = threading.Timer(self._subscription.patience(), call.cancel)
        alarm.daemon = True  # if Ctrl-C comes while it starts, nobody is to wait for it
        try:
            alarm.start()
            return next(call, None)
        except BaseException:
            call.cancel()
            raise
        finally:
            alarm.cancel()
