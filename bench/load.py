"""Load: single calls by h2load (not Python, so that it costs little), batches by grpc.aio."""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import uvloop
from following import Parts
from google.protobuf.json_format import MessageToDict

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2

T = TypeVar("T")

IN_FLIGHT = 64
ON_A_CONNECTION = 64
"""A server lets a connection have no more calls at once."""
SERVICE = "/orderintake.v1.OrderIntakeService"
REQUEST = api.PlaceOrderRequest(
    customer_id="customer-0001",
    lines=[order_pb2.OrderLine(sku="article-0001", quantity=2)],
    labels={"channel": "web"},
)


RUNNER = asyncio.Runner(loop_factory=uvloop.new_event_loop)
"""One event loop for all turns: grpc.aio does not like to change it."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end."""
    return RUNNER.run(coroutine)


class Calls(NamedTuple):
    """What was seen of many calls."""

    per_second: float
    p50_ms: float
    p99_ms: float


def place(  # noqa: PLR0913 - what a call can differ in
    port: int,
    count: int,
    *,
    in_flight: int = IN_FLIGHT,
    request: api.PlaceOrderRequest = REQUEST,
    headers: Iterable[str] = (),
    scheme: str = "http",
) -> Calls:
    """Call PlaceOrder so often, so many at a time, on as few connections as may be."""
    message = request.SerializeToString()
    connections = -(-in_flight // ON_A_CONNECTION)
    return h2load(
        f"{scheme}://127.0.0.1:{port}{SERVICE}/PlaceOrder",
        b"\0" + len(message).to_bytes(4, "big") + message,
        *("--requests", str(count), "--clients", str(connections)),
        *("--max-concurrent-streams", str(in_flight // connections)),
        headers=("content-type: application/grpc", "te: trailers", *headers),
    )


def h2load(url: str, body: bytes, *options: str, headers: Iterable[str]) -> Calls:
    """Run h2load; each call must be answered with success, as HTTP sees it."""
    if shutil.which("h2load") is None:
        raise SystemExit("this needs h2load (on Debian: apt-get install nghttp2-client)")
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "body", Path(folder) / "log"
        file.write_bytes(body)
        words = (word for header in headers for word in ("--header", header))
        command = ["h2load", "--data", str(file), f"--log-file={log}", *options, *words, url]
        report = subprocess.check_output(command, text=True)
        times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    done = re.search(r"finished in .*?, ([\d.]+) req/s", report)
    if done is None or f"{len(times)} succeeded, 0 failed" not in report:
        raise RuntimeError(report)
    return Calls(float(done[1]), *(each / 1e3 for each in middle_and_far(times)))


def post(url: str, count: int, connections: int, *, kind: str = "json") -> Calls:
    """Post the same order, as `json` or as `proto`, by HTTP/1.1, over so many connections."""
    text = json.dumps(MessageToDict(REQUEST)).encode()
    body = text if kind == "json" else REQUEST.SerializeToString()
    options = ("--h1", "--requests", str(count), "--clients", str(connections))
    return h2load(url, body, *options, headers=(f"content-type: application/{kind}",))


def get(url: str) -> bytes:
    """Read an address of ours."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own
        return bytes(answer.read())


def middle_and_far(found: list[Any]) -> tuple[float, float]:
    """Give the p50 and the p99."""
    parts = statistics.quantiles(found, n=100)
    return parts[49], parts[98]


def batches(port: int, orders: int, *, size: int, in_flight: int = 4) -> None:
    """Place orders in batches of this size, so many batches at a time."""
    run(_batches(port, orders, size, in_flight))


async def _batches(port: int, orders: int, size: int, in_flight: int) -> None:
    request = api.BatchPlaceOrdersRequest(requests=[REQUEST] * size).SerializeToString()
    left = iter(range(orders // size))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary(f"{SERVICE}/BatchPlaceOrders")  # bytes, unopened

        async def placer() -> None:
            for _ in left:
                await method(request, timeout=60)

        await asyncio.gather(*(placer() for _ in range(in_flight)))


class Shape(NamedTuple):
    """How orders come on PlaceOrders calls."""

    calls: int
    in_message: int
    window: int
    """So many orders of a call have no result yet, at the most."""


def placing(port: int, orders: int, shape: Shape) -> None:
    """Place orders on PlaceOrders calls; raise AioRpcError where there is no such method."""
    run(_placing(port, orders, shape))


async def _placing(port: int, orders: int, shape: Shape) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.stream_stream(f"{SERVICE}/PlaceOrders")  # bytes, unopened
        share = orders // shape.calls
        await asyncio.gather(*(_place_on(method, shape, share) for _ in range(shape.calls)))


async def _place_on(method: Any, shape: Shape, orders: int) -> None:  # noqa: ANN401 - of grpc.aio
    # Encoded as its message is: orders are field 1 of both.
    batch = api.BatchPlaceOrdersRequest(requests=[REQUEST] * shape.in_message)
    message, room = batch.SerializeToString(), asyncio.Semaphore(shape.window // shape.in_message)
    call, answered = method(), 0
    await call.read()  # it says that the call stands

    async def send() -> None:
        for _ in range(orders // shape.in_message):
            await room.acquire()
            await call.write(message)
        await call.done_writing()

    sending = asyncio.create_task(send())
    while (response := await call.read()) is not grpc.aio.EOF:
        before = answered // shape.in_message
        answered += len(Parts.FromString(response).completions)  # results are field 1 as well
        for _ in range(answered // shape.in_message - before):
            room.release()
    await sending
    if answered != orders:
        raise RuntimeError(f"{answered} orders have a result, not {orders}")


def paced(port: int, *, seconds: int, per_second: int) -> subprocess.Popen[bytes]:
    """Start to place so many orders a second, by a process of its own."""
    arguments = (str(port), str(seconds * per_second), str(per_second))
    return subprocess.Popen([sys.executable, __file__, *arguments])


async def _paced(port: int, calls: int, per_second: int) -> None:
    """Place orders at their time, whether those before are answered or not."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        began, placed = time.monotonic(), []
        for number in range(calls):
            await asyncio.sleep(max(began + number / per_second - time.monotonic(), 0))
            placed.append(stub.PlaceOrder(REQUEST))
        for call in placed:
            await call


if __name__ == "__main__":
    asyncio.run(_paced(*map(int, sys.argv[1:])))
