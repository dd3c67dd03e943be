"""What one peer takes from the others: a polite caller's worst wait, and the server's memory.

PYTHONPATH=tests python bench/hostile.py
"""

import argparse
import asyncio
import sys
import tempfile
import time

import grpc
from load import REQUEST
from servers import Server, order_server

from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from support.hostile_attacks import ATTACKS

PAUSE_SECONDS = 0.05
ATTACK_SECONDS = 5.0
BACK_SECONDS = 75.0
"""In so long memory is back: it is looked at every 10 s, and given back once a minute."""
MIB = 1024 * 1024


async def _polite(address: str, waits: list[float], failures: list[str]) -> None:
    """Place an order now and then, for ever."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        while True:
            began = time.perf_counter()
            try:
                await stub.PlaceOrder(REQUEST, timeout=30)
            except grpc.aio.AioRpcError as error:
                failures.append(error.code().name)
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_SECONDS)


async def _measured(server: Server, name: str, *, waits_for_memory: bool) -> None:
    """Attack once; print what came of it."""
    address = f"127.0.0.1:{server.port}"
    waits: list[float] = []
    failures: list[str] = []
    polite = asyncio.create_task(_polite(address, waits, failures))
    await asyncio.sleep(1)
    before, quiet = server.memory(), max(waits[1:])
    waits.clear()
    command = (sys.executable, "-m", "support.hostile_attacks", address, name, str(ATTACK_SECONDS))
    attacking = await asyncio.create_subprocess_exec(*command)
    during = before
    while attacking.returncode is None:
        await asyncio.sleep(0.05)
        during = max(during, server.memory())
    await asyncio.sleep(1)
    polite.cancel()
    after = server.memory()
    if waits_for_memory and after > before + 20 * MIB:
        await asyncio.sleep(BACK_SECONDS)
        after = server.memory()
    print(
        f"| {name} | {quiet * 1e3:.0f} ms | {max(waits) * 1e3:.0f} ms | {before / MIB:.0f} MiB | "
        f"{during / MIB:.0f} MiB | {after / MIB:.0f} MiB |{''.join(failures[:3])}",
        flush=True,
    )


async def _main(names: list[str], *, waits_for_memory: bool) -> None:
    print("| attack | worst wait before | during | memory before | during | after |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        with tempfile.TemporaryDirectory() as data, order_server(data) as server:
            await _measured(server, name, waits_for_memory=waits_for_memory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS))
    parser.add_argument("--quick", action="store_true", help="do not wait for memory to come back")
    asked = parser.parse_args()
    asyncio.run(_main(asked.attacks, waits_for_memory=not asked.quick))
