"""Handlers, the shop's own code: what they receive, how they are loaded and called; a default."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message

from orderintake.v1 import order_pb2
from orderintake_server.dispatch.workers import Reject, Retry
from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from orderintake_server.dispatch.attempts import StopSignal
    from orderintake_server.domain import Lease
    from orderintake_server.ids import Ids

__all__ = ["HandlerCalls", "OrderAttempt", "Reject", "Retry", "load", "simulate"]

RESULT_BYTES = 64 * 1024
"""The largest result: with the largest order, it still fits in one message of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAttempt:
    """What a handler receives: the order as its caller placed it, and which attempt this is."""

    order_id: str
    customer_id: str
    tier: order_pb2.Tier.ValueType
    lines: Sequence[order_pb2.OrderLine]
    labels: Mapping[str, str]
    payload: any_pb2.Any | None
    """The caller's own typed order, if it sent one: `payload.Unpack(message)` decodes it."""
    accept_time: datetime
    attempt: int
    """1 at first; more after an attempt failed or crashed, which may have done part of its work."""
    signal: StopSignal = field(repr=False)

    @property
    def cancel_requested(self) -> bool:
        """Whether the order was cancelled meanwhile.

        A sync handler may read this from time to time, and raise; an async handler is cancelled.
        """
        return self.signal.is_requested


async def simulate(order: OrderAttempt) -> None:
    """Wait as long as the label `processing_time` says, like "0.2s"; without it, not at all.

    Raises Reject when the label is not a duration, or is negative.
    """
    text = order.labels.get("processing_time", "0s")
    duration = duration_pb2.Duration()
    try:
        duration.FromJsonString(text)
    except ValueError:
        duration.seconds = -1
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 0:
        raise Reject(
            "HANDLER_ERROR",
            f'label processing_time is {text!r}; it must be a duration of 0 or more, like "0.2s"',
        )
    await asyncio.sleep(seconds)


def load(path: str) -> Callable[[OrderAttempt], Any]:
    """Import the handler at `package.module:callable` and return it.

    Raises StartupFailed, which says what is wrong with the path, or what the import raised.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise StartupFailed(f"handler {path!r} must have the form package.module:callable")
    try:
        loaded = importlib.import_module(module_name)
        for part in name.split("."):
            loaded = getattr(loaded, part)
    except (Exception, SystemExit) as error:
        raise StartupFailed(
            f"handler {path!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(loaded):
        raise StartupFailed(f"handler {path!r} is not callable")
    handler: Callable[[OrderAttempt], Any] = loaded
    return handler


class HandlerCalls:
    """Calls the shop's handler for each attempt, with the order decoded."""

    def __init__(
        self,
        handler: Callable[[OrderAttempt], Any],
        *,
        ids: Ids,
        threads: int,
        before: Callable[[OrderAttempt], Awaitable[None]] | None = None,
    ) -> None:
        """Call `handler`, a sync one in one of `threads` threads; await `before` first, if any."""
        self._handler = handler
        self._before = before
        self._ids = ids
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._threads = ThreadPoolExecutor(max(threads, 1), thread_name_prefix="handler")

    async def __call__(self, lease: Lease, signal: StopSignal) -> bytes | None:
        """Make one attempt; return the handler's result, encoded.

        Raises whatever the handler raises, and Reject for a result that cannot be stored.
        """
        attempt = self._decoded(lease, signal)
        if self._is_async:
            self._cancel_on_request(signal)
        if self._before is not None:
            await self._before(attempt)
        if self._is_async:
            outcome = await self._handler(attempt)
        else:
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._threads, self._called, attempt)
        return _encoded(await outcome if inspect.isawaitable(outcome) else outcome)

    def _cancel_on_request(self, signal: StopSignal) -> None:
        """Let the stop signal cancel the handler: at once, if the request has come already."""
        task = asyncio.current_task()
        if task is not None:
            signal.on_request = task.cancel
            if signal.is_requested:
                task.cancel()

    def _called(self, attempt: OrderAttempt) -> object:
        """Call a sync handler; a StopIteration cannot be passed from a thread to a task."""
        try:
            return self._handler(attempt)
        except StopIteration as error:
            raise RuntimeError("the handler raised StopIteration") from error

    def __enter__(self) -> Self:
        """Use it as a block: after the block, no more sync handlers start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Shut the threads down; a handler that still runs cannot be ended, and is left running."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decoded(self, lease: Lease, signal: StopSignal) -> OrderAttempt:
        order = order_pb2.Order.FromString(lease.order.content)
        return OrderAttempt(
            order_id=self._ids.order_id(lease.order.accept_sequence),
            customer_id=order.customer_id,
            tier=order.tier,
            lines=order.lines,
            labels=order.labels,
            payload=order.payload if order.HasField("payload") else None,
            accept_time=datetime.fromtimestamp(lease.order.accept_time / 1e6, UTC),
            attempt=lease.order.attempt_count,
            signal=signal,
        )


def _encoded(outcome: object) -> bytes | None:
    """Return what a handler returned as an encoded Any; raise Reject if it cannot be stored."""
    if outcome is None:
        return None
    if not isinstance(outcome, Message):
        raise Reject(
            "RESULT_INVALID",
            f"the handler returned {type(outcome).__name__}; it must return a protobuf message "
            "or None",
        )
    packed = outcome if isinstance(outcome, any_pb2.Any) else any_pb2.Any()
    if packed is not outcome:
        packed.Pack(outcome)
    encoded = packed.SerializeToString()
    if len(encoded) > RESULT_BYTES:
        raise Reject(
            "RESULT_INVALID",
            f"the handler returned {len(encoded)} bytes; a result has at most {RESULT_BYTES}",
        )
    return encoded
