"""A program that runs the server beside itself, as tests of a shop do, with a handler that forks.

It prints how many of the children ended in which way.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import orderintake_server  # noqa: F401 - before gRPC is imported, which looks at what it sets

# isort: split
from google.protobuf.struct_pb2 import Struct

from support import forking
from support.in_process import completions, serving
from support.orders import order


async def run(directory: Path, orders: int) -> None:
    """Place so many orders, whose handler starts a child, and follow them."""
    ends: Counter[str] = Counter()
    async with serving(directory, handler=forking.starts_many) as stub:
        for _ in range(orders):
            await stub.PlaceOrder(order(labels={"children": "1"}))
        for completion in await completions(stub, orders):
            result = Struct()
            completion.result.Unpack(result)
            ends.update(forking.ends(result))
    sys.stdout.write(f"{dict(ends)}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as data:
        asyncio.run(run(Path(data), int(sys.argv[1])))
