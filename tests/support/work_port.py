"""A server for workers in the test's own process: a WorkDesk behind a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from orderintake.v1 import order_work_service_pb2 as api
from orderintake.v1.order_work_service_pb2_grpc import (
    OrderWorkServiceServicer,
    add_OrderWorkServiceServicer_to_server,
)
from support.work_desk import WorkDesk

Context = grpc.aio.ServicerContext[Any, Any]


class WorkPort(OrderWorkServiceServicer):
    """Answers a worker as its desk says, and as a test wants."""

    def __init__(self) -> None:
        self.desk = WorkDesk()
        self.hold_seconds = 10.0
        """How long KeepLeases waits for news."""
        self.losing = 0
        """So many answers of LeaseOrders are lost, after what was asked is done."""
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        """What every call is answered with."""
        self.bad_lease = ""
        """An outcome of this lease is refused."""
        self.timeout_seconds = 0.0
        self.traceparent = ""
        self.requests: list[api.LeaseOrdersRequest] = []
        self.address = ""
        self._changed = asyncio.Condition()

    async def change(self) -> None:
        """Let all that wait look again."""
        async with self._changed:
            self._changed.notify_all()

    async def place(self, *orders: str) -> None:
        """Let orders wait, or start where a call waits for them."""
        self.desk.place(*orders)
        await self.change()

    async def until(self, is_so: Any) -> None:  # noqa: ANN401 - whatever can be called
        """Wait until something is so of the desk."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(is_so)

    async def completed(self, count: int) -> None:
        """Wait until so many orders have ended."""
        await self.until(lambda: len(self.desk.completed()) >= count)

    async def LeaseOrders(  # noqa: N802 - as the contract has it
        self, request: api.LeaseOrdersRequest, context: Context
    ) -> api.LeaseOrdersResponse:
        self.requests.append(request)
        await self._refuse(request, context)
        response = self.desk.lease(request)
        await self.change()
        if not request.outcomes and not response.orders:
            response = await self._wait(request)
        if self.losing:
            self.losing -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        for order in response.orders:
            order.traceparent = self.traceparent
            if self.timeout_seconds:
                order.attempt_timeout.FromMilliseconds(round(self.timeout_seconds * 1000))
        return response

    async def _refuse(self, request: api.LeaseOrdersRequest, context: Context) -> None:
        if self.refusal:
            await context.abort(*self.refusal)
        if self.bad_lease in {each.lease for each in request.outcomes}:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such lease")

    async def _wait(self, request: api.LeaseOrdersRequest) -> api.LeaseOrdersResponse:
        def is_over() -> bool:
            return bool(self.desk.waiting or request.worker_id in self.desk.stopping)

        try:
            async with asyncio.timeout(request.wait.ToMilliseconds() / 1000), self._changed:
                await self._changed.wait_for(is_over)
        except TimeoutError:
            pass
        return self.desk.lease(request)

    async def KeepLeases(  # noqa: N802 - as above
        self, request: api.KeepLeasesRequest, context: Context
    ) -> api.KeepLeasesResponse:
        if self.refusal:
            await context.abort(*self.refusal)
        is_new = not self.desk.kept or self.desk.kept[-1].stopping != request.stopping
        response = self.desk.keep(request)
        await self.change()
        if not (is_new or response.stops or response.lost):
            response = await self._news(request)
        response.keeps.FromMilliseconds(30_000)
        return response

    async def _news(self, request: api.KeepLeasesRequest) -> api.KeepLeasesResponse:
        found = api.KeepLeasesResponse()

        def has_news() -> bool:
            had = api.KeepLeasesRequest(
                worker_id=request.worker_id,
                inventory=api.Inventory(held=request.inventory.held),
                stops_heard=request.stops_heard,
            )
            found.CopyFrom(self.desk.keep(had))
            self.desk.kept.pop()
            return bool(found.stops or found.lost)

        try:
            async with asyncio.timeout(self.hold_seconds), self._changed:
                await self._changed.wait_for(has_news)
        except TimeoutError:
            pass
        return found

    async def EndWorker(  # noqa: N802 - as above
        self, request: api.EndWorkerRequest, context: Context
    ) -> api.EndWorkerResponse:
        if self.refusal:
            await context.abort(*self.refusal)
        returned = self.desk.end(request.worker_id)
        await self.change()
        return api.EndWorkerResponse(returned=returned)


@asynccontextmanager
async def work_port(address: str = "127.0.0.1:0") -> AsyncIterator[WorkPort]:
    """Serve workers at a free port."""
    port = WorkPort()
    server = grpc.aio.server()
    add_OrderWorkServiceServicer_to_server(port, server)
    number = server.add_insecure_port(address)
    port.address = f"127.0.0.1:{number}"
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
