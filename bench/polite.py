"""A polite caller, who shows what others take from it."""

import asyncio
import time

import grpc
import load
from servers import Server

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

PAUSE_SECONDS = 0.05


class Polite:
    """A caller who places an order now and then."""

    def __init__(
        self,
        server: Server,
        request: api.PlaceOrderRequest = load.REQUEST,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        """Place this order at this server, with a pause of so many seconds after each."""
        self._server = server
        self._request = request
        self._pause = pause
        self.waited: list[float] = []
        """In seconds, for each order; next, how long the server worked meanwhile."""
        self.worked: list[float] = []
        self.failures = 0

    async def place_on(self) -> None:
        """Place for ever."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._server.port}") as channel:
            stub = api_grpc.OrderIntakeServiceStub(channel)
            while True:
                began, worked = time.perf_counter(), self._server.cpu_seconds()
                try:
                    await stub.PlaceOrder(self._request, timeout=30)
                except grpc.aio.AioRpcError:
                    self.failures += 1
                self.waited.append(time.perf_counter() - began)
                self.worked.append(self._server.cpu_seconds() - worked)
                await asyncio.sleep(self._pause)
