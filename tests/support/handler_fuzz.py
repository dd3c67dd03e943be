"""`make fuzz-handlers`: a real server whose handlers do the worst; it must never notice."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import grpc
import structlog

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import Stub
from support.orders import order
from support.process import ServerProcess

log = structlog.get_logger()

WAYS = ("good", "sync", "loop", "leaves")
HANDLERS = (
    *("support.hostile:any_of", "support.hostile:by_way", "support.hostile:decorated"),
    "support.misdeeds:quick",
)
BATCH = 40
MOST_SECONDS = 300
"""For one batch, on the busiest machine."""
ARGUMENTS = (
    *("--workers", "8", "--max-attempts", "2", "--retry-delay", "0"),
    *("--attempt-timeout", "120"),  # nothing here hangs; load must not make it a failure
)


def batch(chance: Random, *, count: int = BATCH) -> list[api.PlaceOrderRequest]:
    """Draw orders, each with what its handler will do; every fourth is a good one."""
    return [
        order(labels={"way": way, "seed": str(chance.getrandbits(64))})
        for way in chance.choices(WAYS, k=count)
    ]


async def ends(stub: Stub, requests: list[api.PlaceOrderRequest]) -> list[order_pb2.Completion]:
    """Place orders; wait for the completion of each, in their order."""
    placed = await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=requests))
    ids = [receipt.order.order_id for receipt in placed.receipts]
    found: dict[str, order_pb2.Completion] = {}
    after = api.StreamCompletionsRequest(after_cursor=placed.receipts[0].cursor)
    stream = stub.StreamCompletions(after)
    async with asyncio.timeout(MOST_SECONDS):
        async for message in stream:
            found |= {one.order.order_id: one for one in message.completions}
            if found.keys() >= set(ids):
                break
    stream.cancel()
    return [found[order_id] for order_id in ids]


def faults(requests: list[api.PlaceOrderRequest], found: list[order_pb2.Completion]) -> list[str]:
    """Tell what of these ends is not as it must be."""
    bad = []
    for request, one in zip(requests, found, strict=True):
        good = request.labels["way"] in {"good", "leaves"}
        ok = one.order.state == order_pb2.STATE_SUCCEEDED
        if good and not ok:
            bad.append(f"a good order beside bad ones: {one}")
        if not ok and not (1 <= len(one.failure.code) <= 64 and len(one.failure.message) <= 1024):
            bad.append(f"a failure that is none: {one}")
    return bad


async def fuzz(data: Path, *, seconds: float, seed: int, store: str = "") -> Counter[str]:
    """Place batches for so long, of a server that is started anew when it ends; count all."""
    chance, counts = Random(seed), Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        handler = chance.choice(HANDLERS)
        where = ("--store", store) if store else ()
        server = ServerProcess(data, "--handler", handler, *ARGUMENTS, *where)
        try:
            life = min(until, time.monotonic() + 20)
            await _one_life(server, chance, counts, until=life)
        finally:
            server.kill()
    return counts


async def _one_life(
    server: ServerProcess, chance: Random, counts: Counter[str], *, until: float
) -> None:
    """Place batches until the time comes, or the server ends by itself; then stop it."""
    address = await asyncio.to_thread(lambda: server.address)
    async with grpc.aio.insecure_channel(address) as channel:
        with suppress(grpc.aio.AioRpcError):
            while time.monotonic() < until:
                requests = batch(chance)
                found = await ends(Stub(channel), requests)
                counts["orders"] += len(found)
                counts.update(order_pb2.State.Name(one.order.state) for one in found)
                for fault in faults(requests, found):
                    counts["faults"] += 1
                    log.error("a fault", fault=fault)
    if not server.is_running():
        counts["restarts"] += 1
        log.error("the server ended by itself", last=server.log[-5:])
    elif (code := await server.stops()) != 0:
        counts["bad exits"] += 1
        log.error("the server ended badly", code=code, last=server.log[-5:])


def main() -> None:
    """Fuzz as the command line says; exit with 1 when the server noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", default="", help="postgresql://…, migrated")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        run = fuzz(Path(data), seconds=asked.seconds, seed=asked.seed, store=asked.store)
        counts = asyncio.run(run)
    whole = {"restarts": 0, "bad exits": 0, "faults": 0, **counts}
    log.info("fuzzed", **{name.lower(): count for name, count in whole.items()})
    sys.exit(bool(counts["restarts"] + counts["bad exits"] + counts["faults"]))


if __name__ == "__main__":
    main()
