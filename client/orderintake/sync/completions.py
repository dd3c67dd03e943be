"""Completions as an iterator that survives the loss of its connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from orderintake.access.headers import headers
from orderintake.errors import Unauthenticated, from_rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from grpc import _CallIterator

    from orderintake.checkpoint import Checkpoint
    from orderintake.connections import Connections
    from orderintake.errors import OrderIntakeError
    from orderintake.streams.subscription import Batch, Subscription
    from orderintake.sync.bearer import Bearer
    from orderintake.v1.order_intake_service_pb2 import StreamCompletionsResponse
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub
    from orderintake.v1.order_pb2 import Completion

_T = TypeVar("_T")


class Completions:
    """Completions in the order of their sequence, without end: an iterator inside its block.

    When the connection is lost or the server restarts, the stream is resumed from its cursor, for
    as long as that takes. Each completion is still delivered once; the logger "orderintake" warns.
    One thread iterates; any thread may close.

    With a checkpoint the cursor is saved when the subscriber has handled all that was received
    together and asks for more, and when it leaves the block. If it leaves by an exception, what was
    delivered last counts as not handled, and is delivered again the next time.
    """

    def __init__(
        self,
        connections: Connections[OrderIntakeServiceStub, Any],
        subscription: Subscription,
        checkpoint: Checkpoint | None,
        bearer: Bearer,
    ) -> None:
        """See Client.completions."""
        self._connections = connections
        self._subscription = subscription
        self._checkpoint = checkpoint
        self._bearer = bearer
        self._shown: str | None = None
        self._call: _CallIterator[StreamCompletionsResponse] | None = None
        self._opening = threading.Lock()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
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
            self._load()
            while not (self._subscription.established or self._subscription.ended):
                self._advance()
            self._save(self._subscription.progress.to_save())
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
        self._save(self._subscription.progress.to_save_at_end(failed=kind is not None))

    @property
    def cursor(self) -> str:
        """The cursor after what was delivered: `after` it, nothing is repeated and nothing missed.

        It also moves when the server says that there was nothing to deliver.
        """
        return self._subscription.cursor

    def __iter__(self) -> Iterator[Completion]:
        """Return itself."""
        return self

    def __next__(self) -> Completion:
        """Wait for the next completion; the iteration ends only when the stream was closed.

        Raises:
            CompletionGap: a sequence number is missing or repeated.
            CursorRejected: the server restarted with another log, or an older copy of it.
            OrderIntakeError: another error that reconnecting cannot repair.
        """
        completion = self._next(self._subscription.next_completion)
        if completion is None:
            raise StopIteration
        return completion

    def batches(self) -> Iterator[Batch]:
        """Iterate over batches: what was received together, with the cursor after it.

        Use it to handle many at once, or to store the cursor and the effects in one transaction.

        Raises:
            OrderIntakeError: as the iteration over single completions does.
        """
        while (batch := self._next(self._subscription.next_batch)) is not None:
            yield batch

    def _next(self, read: Callable[[], _T | None]) -> _T | None:
        """Return what is there, or wait for it; None once the stream was closed."""
        self._subscription.progress.handled()
        while not self._subscription.ended:
            found = read()
            if found is not None:
                return found
            self._save(self._subscription.progress.to_save())
            self._advance()
        return None

    def _load(self) -> None:
        """Resume from the checkpoint's cursor, if it has one."""
        if self._checkpoint is not None:
            cursor = self._checkpoint.load()
            if cursor is not None:
                self._subscription.resume_from(cursor)

    def _save(self, cursor: str | None) -> None:
        """Save this cursor, unless it is None or there is no checkpoint."""
        if self._checkpoint is not None and cursor is not None:
            self._checkpoint.save(cursor)
            self._subscription.progress.saved(cursor)

    def close(self) -> None:
        """End the stream, from any thread; an iterator that waits ends as well."""
        with self._opening:
            self._subscription.end()
            self._closed.set()
            if self._call is not None:
                self._call.cancel()
        self._connections.leave(self)

    def _advance(self) -> None:
        """Wait for one message of the stream or its loss; open a stream first if none is open."""
        call = self._call or self._open()
        if call is None:
            return
        try:
            response = self._read(call)
        except grpc.RpcError as error:
            self._call = None
            self._come_back(from_rpc(error))
        else:
            self._call = call if response else None
            self._subscription.received(response)

    def _come_back(self, error: OrderIntakeError) -> None:
        """Prepare to open the stream again; with another token, if that is what it takes.

        Raises:
            OrderIntakeError: the error, if it takes something else.
            Exception: the function that was given for tokens raised it.
        """
        is_expired = isinstance(error, Unauthenticated) and self._bearer.may_renew(
            self._shown, error
        )
        if is_expired and self._subscription.goes_on_renewed():
            self._bearer.renewed(self._shown)
        else:
            self._subscription.lost(error)

    def _open(self) -> _CallIterator[StreamCompletionsResponse] | None:
        """Open a stream after the backoff; None if the subscription was closed meanwhile."""
        self._closed.wait(self._subscription.backoff)
        if not self._subscription.ended:
            self._shown = self._bearer.token()
        with self._opening:
            if not self._subscription.ended:
                self._call = self._stub.StreamCompletions(
                    self._subscription.request(), metadata=headers(self._shown)
                )
        return self._call

    def _read(
        self, call: _CallIterator[StreamCompletionsResponse]
    ) -> StreamCompletionsResponse | None:
        """Read one message; None when the stream ended, or was silent for too long.

        A read that is interrupted, as by Ctrl-C, cancels its call; the next read resumes.
        """
        silent = threading.Event()

        def give_up() -> None:
            silent.set()
            call.cancel()

        alarm = threading.Timer(self._subscription.silence_limit(), give_up)
        alarm.daemon = True  # so the program can end if Ctrl-C comes while it starts
        try:
            alarm.start()
            return next(call, None)
        except BaseException as error:
            call.cancel()
            if silent.is_set() and isinstance(error, grpc.RpcError):
                return None  # the alarm cancelled it, no server
            raise
        finally:
            alarm.cancel()
