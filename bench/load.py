"""Load on PlaceOrder: by h2load (not Python, so that it costs little) or else by grpc.aio."""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2

IN_FLIGHT = 64
PATH = "/orderintake.v1.OrderIntakeService/PlaceOrder"
REQUEST = api.PlaceOrderRequest(
    customer_id="customer-0001",
    lines=[order_pb2.OrderLine(sku="article-0001", quantity=2)],
    labels={"channel": "web"},
)


def driver() -> str:
    """Name the client that will drive the load."""
    return "h2load" if shutil.which("h2load") else "grpc.aio"


def calls_per_second(port: int, calls: int) -> float:
    """Make so many calls, 64 at a time on one connection; tell how many there were a second."""
    if driver() == "h2load":
        return by_h2load(f"http://127.0.0.1:{port}", calls)
    script = [sys.executable, __file__, str(port), str(calls)]
    return float(subprocess.check_output(script, text=True))


def by_h2load(address: str, calls: int, *headers: str) -> float:
    """Do so by h2load, with more headers; the address may begin with https."""
    message = REQUEST.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        report = subprocess.check_output(
            [
                *("h2load", "--requests", str(calls), "--clients", "1"),
                *("--max-concurrent-streams", str(IN_FLIGHT), "--data", str(body)),
                *("--header", "content-type: application/grpc", "--header", "te: trailers"),
                *(word for header in headers for word in ("--header", header)),
                f"{address}{PATH}",
            ],
            text=True,
        )
    done = re.search(r"finished in .*?, ([\d.]+) req/s", report)
    if done is None or f"{calls} succeeded" not in report:
        raise RuntimeError(report)
    return float(done[1])


async def _by_grpc(port: int, calls: int) -> float:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await stub.PlaceOrder(REQUEST)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return calls / (time.perf_counter() - began)


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
    asked_port, asked_calls, *pace = map(int, sys.argv[1:])
    if pace:
        asyncio.run(_paced(asked_port, asked_calls, pace[0]))
    else:
        print(asyncio.run(_by_grpc(asked_port, asked_calls)))
