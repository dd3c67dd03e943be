"""A PlaceOrders call, led by hand."""

from typing import Self

import grpc

from orderintake.v1 import order_intake_service_pb2 as api
from support.callers import Metadata
from support.in_process import Stub
from support.refusals import Refused, refused, refused_order

Call = grpc.aio.StreamStreamCall[api.PlaceOrdersRequest, api.PlaceOrdersResponse]


class PlacingCall:
    """One call that has begun; `responses` are all that came after its beginning."""

    def __init__(self, call: Call, started: api.PlaceOrdersResponse) -> None:
        self.call = call
        self.max_unacknowledged = started.max_unacknowledged
        self.responses: list[api.PlaceOrdersResponse] = []
        self.results: list[api.PlaceOrdersResult] = []

    @classmethod
    async def begin(cls, stub: Stub, metadata: Metadata = ()) -> Self:
        """Begin a call, which must be let in."""
        call = stub.PlaceOrders(metadata=metadata)
        started = await call.read()
        assert isinstance(started, api.PlaceOrdersResponse)
        assert started.signal == api.SIGNAL_STARTED
        return cls(call, started)

    async def send(self, *orders: api.PlaceOrderRequest) -> None:
        """Send these orders in one message."""
        await self.call.write(api.PlaceOrdersRequest(orders=orders))

    async def read(self) -> bool:
        """Read a response; False when the call has ended well."""
        response = await self.call.read()
        if not isinstance(response, api.PlaceOrdersResponse):
            return False
        self.responses.append(response)
        self.results += response.results
        return True

    async def until(self, count: int) -> list[api.PlaceOrdersResult]:
        """Read until there are so many results; give all of them."""
        while len(self.results) < count:
            assert await self.read()
        assert [result.index for result in self.results] == list(range(len(self.results)))
        return self.results

    async def place(self, *orders: api.PlaceOrderRequest) -> list[api.PlaceOrdersResult]:
        """Send these orders and give their results."""
        before = len(self.results)
        await self.send(*orders)
        return (await self.until(before + len(orders)))[before:]

    async def end(self) -> grpc.StatusCode:
        """Close this side, and read to the end of the call."""
        await self.call.done_writing()
        while await self.read():
            pass
        return await self.call.code()

    async def broken(self) -> grpc.aio.AioRpcError:
        """Read on until the server breaks the call; give the error."""
        try:
            while await self.read():
                pass
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("it ended well")

    async def refusal(self) -> Refused:
        """Read on until the server breaks the call; tell how."""
        return refused(await self.broken())


def numbers(results: list[api.PlaceOrdersResult]) -> list[int]:
    """Tell the accept sequences of orders, all of which were accepted."""
    assert [result.WhichOneof("outcome") for result in results] == ["receipt"] * len(results)
    return [result.receipt.order.accept_sequence for result in results]


def reasons(results: list[api.PlaceOrdersResult]) -> list[str]:
    """Tell why orders were refused; "" for one that was accepted."""
    return [
        refused_order(result.refusal).reason if result.HasField("refusal") else ""
        for result in results
    ]
