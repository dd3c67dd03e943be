"""The floor: a bare grpc.aio server on uvloop whose streams write bytes that were encoded before.

The request is JSON: how many `messages` of how many `parts` of how many `bytes` to write, how many
a second (0: as fast as the reader takes them), and whether to stay open behind them.
"""

import asyncio
import json
import struct
import time
from typing import Any

import grpc
import uvloop
from following import CURSOR, Parts

OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 100_000),  # or it ends some of many calls at once
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
]
SERVICE = "orderintake.v1.OrderIntakeService"


async def stream(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Write what is asked for; each message ends with the time it was sent."""
    asked = json.loads(request)
    encoded = Parts(completions=[bytes(asked["bytes"])] * asked["parts"]).SerializeToString()
    interval = 1 / asked["rate"] if asked["rate"] else 0
    began = time.monotonic()
    await context.write(Parts(cursor=CURSOR).SerializeToString())
    for number in range(asked["messages"]):
        if interval:
            await asyncio.sleep(max(began + number * interval - time.monotonic(), 0))
        sent = struct.pack("<q", time.time_ns() // 1_000) if interval else b""
        await context.write(encoded + Parts(cursor=CURSOR, sent=sent).SerializeToString())
    if asked["stays"]:
        await asyncio.Event().wait()


async def serve() -> None:
    """Serve until killed; print the port."""
    server = grpc.aio.server(options=OPTIONS)
    handler: Any = grpc.unary_stream_rpc_method_handler(stream)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {"StreamCompletions": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
