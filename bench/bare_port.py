"""The floor of parts/hostile.py: a bare grpc.aio server with the order server's bounds."""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from echo_server import METHOD, SERVICE, echo

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.rpc import server as rpc

STARTED = api.StreamCompletionsResponse(signal=api.SIGNAL_STARTED).SerializeToString()
HEARTBEAT_SECONDS = 5.0


async def stream(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Write a message at once, and one more now and then."""
    await context.write(STARTED)
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await context.write(STARTED)


async def serve(streams: int) -> None:
    """Serve until killed, so many streams for each connection; print the port."""
    server = grpc.aio.server(options=rpc.OPTIONS + rpc.stream_options(streams))
    handlers = {
        METHOD: grpc.unary_unary_rpc_method_handler(
            echo,
            request_deserializer=api.PlaceOrderRequest.FromString,
            response_serializer=api.PlaceOrderResponse.SerializeToString,
        ),
        "StreamCompletions": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
