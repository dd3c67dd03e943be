"""A server of the contract that does what a test tells it, over real sockets.

It runs on threads, so that the clients of both grpc stacks can be tested against it: two asyncio
loops in one process that both speak grpc disturb each other.
"""
# ruff: noqa: N802 - the contract gives the methods their names

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from client.fake_desk import FakeDesk, page
from client.fake_placing import FakePlacing
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2

PATIENCE_SECONDS = 10.0
"""For how long a test waits for what must come."""

Context = grpc.ServicerContext
Messages = Iterator[api.StreamCompletionsResponse]


class Ending(Protocol):
    """What a call meets instead of an answer."""

    def end(self, context: Context) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A status. grpc's own retries are held off unless `pushback_ms` is another one, or None."""

    code: grpc.StatusCode
    message: str = "no"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    quota_subject: str = ""
    pushback_ms: int | None = -1

    def end(self, context: Context) -> None:
        """Fail the call."""
        trailing: list[tuple[str, str | bytes]] = []
        if self.reason:
            trailing.append(("grpc-status-details-bin", self.details()))
        if self.pushback_ms is not None:
            trailing.append(("grpc-retry-pushback-ms", str(self.pushback_ms)))
        context.set_trailing_metadata(tuple(trailing))
        context.abort(self.code, self.message)

    def details(self) -> bytes:
        """A google.rpc.Status, made by Google's own types, encoded."""
        return self.status().SerializeToString()

    def status(self) -> status_pb2.Status:
        """A google.rpc.Status, made by Google's own types."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        details: list[Message] = [
            error_details_pb2.ErrorInfo(
                domain="orderintake", reason=self.reason, metadata=self.metadata
            )
        ]
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for name, description in self.violations.items():
                bad.field_violations.add(field=name, description=description)
            details.append(bad)
        if self.quota_subject:
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=self.quota_subject, description=self.message)
            details.append(quota)
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(round(self.retry_after * 1000))
            details.append(retry)
        for detail in details:
            status.details.add().Pack(detail)
        return status


UNAVAILABLE = Refusal(code=grpc.StatusCode.UNAVAILABLE)


class Silence:
    """No answer, until the caller is gone."""

    def end(self, context: Context) -> None:
        """Wait for the caller to go."""
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(PATIENCE_SECONDS)


def completion(sequence: int) -> order_pb2.Completion:
    """A completion of the fake's log; its cursor is its sequence."""
    order = order_pb2.Order(
        order_id=f"order-{sequence}",
        customer_id="ada",
        tier=order_pb2.TIER_VIP if sequence % 2 else order_pb2.TIER_REGULAR,
        state=order_pb2.STATE_SUCCEEDED,
        lines=[order_pb2.OrderLine(sku="tea", quantity=sequence)],
    )
    return order_pb2.Completion(sequence=sequence, order=order, cursor=f"c{sequence}")


def message(
    *sequences: int, cursor: str = "", signal: api.Signal.ValueType = api.SIGNAL_UNSPECIFIED
) -> api.StreamCompletionsResponse:
    """A message of a completion stream; its cursor is after its completions."""
    return api.StreamCompletionsResponse(
        completions=[completion(sequence) for sequence in sequences],
        cursor=cursor or f"c{sequences[-1]}",
        signal=signal,
    )


def started(cursor: str = "c0") -> api.StreamCompletionsResponse:
    """The first message of a stream."""
    return message(cursor=cursor, signal=api.SIGNAL_STARTED)


class FakeServicer(FakeDesk, FakePlacing):
    """Takes every order, and completes as many as it is told to.

    What a test puts into `endings`, one a unary call, and into `scripts`, one a stream, comes
    first. `listed`, if it is set, are the orders that are listed; `known` are what GetOrder answers
    by order_id. `requests` keeps every request, `metadata` what came with each; `begun` counts the
    streams that follow the log, `left` those that ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.known: dict[str, api.GetOrderResponse] = {}
        self.endings: deque[Ending] = deque()
        self.scripts: deque[Callable[[Context], Messages]] = deque()
        self.begun = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self._head = 0
        self._drops = 0
        self._moved = threading.Condition()

    def complete(self, count: int) -> None:
        """Complete so many orders more, and push them to the open streams."""
        with self._moved:
            self._head += count
            self._moved.notify_all()

    def drop_streams(self) -> None:
        """End every open stream with UNAVAILABLE."""
        with self._moved:
            self._drops += 1
            self._moved.notify_all()

    def PlaceOrder(
        self, request: api.PlaceOrderRequest, context: Context
    ) -> api.PlaceOrderResponse:
        self._meet(request, context)
        return self._receipt(request)

    def BatchPlaceOrders(
        self, request: api.BatchPlaceOrdersRequest, context: Context
    ) -> api.BatchPlaceOrdersResponse:
        self._meet(request, context)
        receipts = [self._receipt(each) for each in request.requests]
        return api.BatchPlaceOrdersResponse(receipts=receipts)

    def GetOrder(self, request: api.GetOrderRequest, context: Context) -> api.GetOrderResponse:
        self._meet(request, context)
        if request.order_id == "waiting":
            return api.GetOrderResponse(order=order_pb2.Order(order_id="waiting"))
        if known := self.known.get(request.order_id or str(request.accept_sequence)):
            return known
        return api.GetOrderResponse(order=completion(1).order, completion=completion(1))

    def ListCompletions(
        self, request: api.ListCompletionsRequest, context: Context
    ) -> api.ListCompletionsResponse:
        self._meet(request, context)
        numbers, token = page(request.page_token, request.page_size, self._head)
        return api.ListCompletionsResponse(
            completions=map(completion, numbers), next_page_token=token, cursor=f"c{numbers.stop}"
        )

    def StreamCompletions(
        self, request: api.StreamCompletionsRequest, context: Context
    ) -> Messages:
        self._note(request, context)
        context.add_callback(self._leave)
        yield from self.scripts.popleft()(context) if self.scripts else self._log(request, context)

    def _meet(self, request: Message, context: Context) -> None:
        self._note(request, context)
        if self.endings:
            self.endings.popleft().end(context)

    def _note(self, request: Message, context: Context) -> None:
        self.requests.append(request)
        self._note_call(context)

    def _note_call(self, context: Context) -> None:
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})

    def _receipt(self, request: api.PlaceOrderRequest) -> api.PlaceOrderResponse:
        return api.PlaceOrderResponse(
            order=order_pb2.Order(
                order_id=f"order of {request.request_id}",
                customer_id=request.customer_id,
                tier=request.tier,
                state=order_pb2.STATE_QUEUED,
                lines=request.lines,
                labels=request.labels,
                payload=request.payload if request.HasField("payload") else None,
            ),
            replayed=request.request_id == "known",
            durability=api.DURABILITY_FSYNC,
            cursor=f"c{self._head}",
            position=3,
        )

    def _leave(self) -> None:
        self.left.release()
        with self._moved:
            self._moved.notify_all()

    def _log(self, request: api.StreamCompletionsRequest, context: Context) -> Messages:
        drops = self._drops
        sent = self._head
        if request.start_at != api.START_AT_LATEST:
            sent = int(request.after_cursor.removeprefix("c") or 0)
        self.begun.release()
        yield started(f"c{sent}")
        while True:
            with self._moved:
                self._moved.wait_for(partial(self._is_moved, sent, drops, context))
                head = self._head
            if not context.is_active():
                return
            if self._drops > drops:
                UNAVAILABLE.end(context)
            end = min(head, sent + (request.max_batch_size or 100))
            yield message(*range(sent + 1, end + 1))
            sent = end

    def _is_moved(self, sent: int, drops: int, context: Context) -> bool:
        return self._head > sent or self._drops > drops or not context.is_active()


class FakeServer:
    """A FakeServicer on a port; the same one when it starts again."""

    def __init__(
        self, credentials: grpc.ServerCredentials | None = None, *, place: str | None = None
    ) -> None:
        """Listen at `place`, or else on a free port."""
        self.servicer = FakeServicer()
        self.port = 0
        self._place = place
        self._credentials = credentials or grpc.insecure_server_credentials()

    @property
    def target(self) -> str:
        """Where clients connect."""
        return self._place or f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="fake")
        self._server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        api_grpc.add_OrderIntakeServiceServicer_to_server(self.servicer, self._server)
        admin_grpc.add_OrderAdminServiceServicer_to_server(self.servicer, self._server)
        self.port = self._server.add_secure_port(self.target, self._credentials)
        self._server.start()

    def stop(self) -> None:
        """Cut every connection and let the port go."""
        self._server.stop(None).wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
