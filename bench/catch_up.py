"""Subscribers that read the log from its beginning, against a bare stream of as many bytes.

Orders complete while nobody listens, so that nothing is in the ring. Then 1 and 20 subscribers, in
a process of their own, read all of it as fast as they can, in turns with the bare server's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from database import postgres, store
from servers import Server, bare_server, order_server

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2

IN_A_MESSAGE = 100
READERS = (1, 20)
REQUEST = api.PlaceOrderRequest(
    customer_id="customer-0001",
    lines=[order_pb2.OrderLine(sku="article-0001", quantity=2)],
    labels={"channel": "web", "note": "please ring twice, then leave it with the neighbours above"},
)


class Read(NamedTuple):
    """What a turn told: completions a second, over all readers, and processor time for each."""

    per_second: float
    cpu_us: float


def complete(port: int, count: int) -> int:
    """Let so many orders complete while nobody listens; tell the mean size of a completion."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        orders: Any = api_grpc.OrderIntakeServiceStub(channel)
        queue: Any = admin_grpc.OrderAdminServiceStub(channel)
        for _ in range(count // 1_000):
            orders.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=[REQUEST] * 1_000))
        while queue.GetQueueStats(admin.GetQueueStatsRequest()).head_sequence < count:
            time.sleep(0.1)
        page = orders.ListCompletions(api.ListCompletionsRequest(page_size=IN_A_MESSAGE))
    return int(statistics.mean(each.ByteSize() for each in page.completions))


def read(server: Server, readers: int, events: int, request: bytes) -> Read:
    """Follow by a process of its own."""
    script = str(Path(__file__).with_name("following.py"))
    command = [sys.executable, script, str(server.port), str(readers), str(events), request.hex()]
    before = server.cpu()
    seconds = float(subprocess.check_output(command, text=True))
    count = readers * events
    return Read(count / seconds, (server.cpu() - before) / count * 1e6)


def told(name: str, turns: list[Read], floor: list[Read]) -> str:
    """Tell the medians of one server, and its rate as a part of the bare server's in each turn."""
    rate, cpu = (statistics.median(each) for each in zip(*turns, strict=True))
    parts = [one.per_second / other.per_second for one, other in zip(turns, floor, strict=True)]
    return (
        f"  {name:8}{rate:12,.0f} completions/s{cpu:8.2f} us of CPU each"
        f"   {statistics.median(parts):.2f} of the bare stream,"
        f" {min(parts):.2f} to {max(parts):.2f}"
    )


@contextmanager
def of_tree(tree: str) -> Iterator[None]:
    """Let servers that start inside be those of another tree of this project."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join((f"{tree}/server", f"{tree}/client"))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def measured(servers: dict[str, Server], size: int, events: int, turns: int) -> None:
    """Let the readers read from each server in turns, and print."""
    shape = {"messages": events // IN_A_MESSAGE, "parts": IN_A_MESSAGE, "bytes": size}
    bare = json.dumps(shape | {"rate": 0, "stays": True}).encode()
    log = api.StreamCompletionsRequest(max_batch_size=IN_A_MESSAGE).SerializeToString()
    for readers in READERS:
        found: dict[str, list[Read]] = {name: [] for name in servers}
        for _ in range(turns):
            for name, server in servers.items():
                asked = bare if name == "bare" else log
                found[name].append(read(server, readers, events, asked))
        print(f"{readers} reader{'s' * (readers > 1)}; medians of {turns} turns")
        for name, each in found.items():
            print(told(name, each, found["bare"]))


def main() -> None:
    """Start the servers, let orders complete, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000, help="in the log, more than is kept")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL")
    parser.add_argument("--beside", help="another tree of this project, measured too")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        running = stack.enter_context(postgres()) if arguments.postgres else None

        def ours(name: str) -> Server:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
            where = ("--store", store(running, name)) if running else ()
            options = ("--handler", "instant:handle", "--workers", "64", *where)
            return stack.enter_context(order_server(folder, *options))

        servers = {"ours": ours("ours")}
        if arguments.beside:
            with of_tree(arguments.beside):
                servers["beside"] = ours("beside")
        size = max([complete(each.port, arguments.events) for each in servers.values()])
        servers["bare"] = stack.enter_context(bare_server("bare_stream.py"))
        print(f"{arguments.events:,} completions of {size} bytes, {IN_A_MESSAGE} in a message")
        measured(servers, size, arguments.events, arguments.turns)


if __name__ == "__main__":
    main()
