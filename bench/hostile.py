"""What one peer takes from the others: a polite caller's worst wait, and the server's memory.

Each attack meets our server, and a bare server with the same bounds. Beside each wait stands how
long the server worked meanwhile: what others do on the same machine is not in it.

PYTHONPATH=tests python bench/hostile.py
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import grpc
from load import REQUEST
from servers import Server, bare_server, order_server

from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from support.hostile_attacks import ATTACKS

PAUSE_SECONDS = 0.05
ATTACK_SECONDS = 5.0
BACK_SECONDS = 100.0
"""In so long memory is back: it is looked at every 10 s, and given back once a minute, twice."""
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Waits:
    """How long a polite caller waited, and how long the server worked meanwhile; in seconds."""

    waited: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Begin anew."""
        self.waited.clear()
        self.worked.clear()

    def worst(self) -> str:
        """Tell both of the worst."""
        return f"{max(self.waited):.2f} s | {max(self.worked):.2f} s"


async def _polite(server: Server, waits: Waits) -> None:
    """Place an order now and then, for ever."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        while True:
            began, worked = time.perf_counter(), server.cpu_seconds()
            try:
                await stub.PlaceOrder(REQUEST, timeout=30)
            except grpc.aio.AioRpcError as error:
                waits.failures.append(error.code().name)
            waits.waited.append(time.perf_counter() - began)
            waits.worked.append(server.cpu_seconds() - worked)
            await asyncio.sleep(PAUSE_SECONDS)


async def _attacked(server: Server, name: str) -> int:
    """Attack once; tell how much memory the server held at the most."""
    address = f"127.0.0.1:{server.port}"
    command = (sys.executable, "-m", "support.hostile_attacks", address, name, str(ATTACK_SECONDS))
    attacking = await asyncio.create_subprocess_exec(*command)
    most = 0
    while attacking.returncode is None:
        await asyncio.sleep(0.05)
        most = max(most, server.memory())
    await asyncio.sleep(1)
    return most


async def _measured(server: Server, name: str, *, waits_for_memory: bool) -> str:
    """Attack once; tell what came of it."""
    waits = Waits()
    polite = asyncio.create_task(_polite(server, waits))
    await asyncio.sleep(1)
    before = server.memory()
    waits.clear()
    during = await _attacked(server, name)
    polite.cancel()
    after = server.memory()
    if waits_for_memory and after > before + 20 * MIB:
        await asyncio.sleep(BACK_SECONDS)
        after = server.memory()
    memory = " | ".join(f"{size / MIB:.0f} MiB" for size in (before, during, after))
    return f"{waits.worst()} | {memory} |{''.join(waits.failures[:3])}"


def _ours(stack: ExitStack, streams: int) -> AbstractContextManager[Server]:
    data = stack.enter_context(tempfile.TemporaryDirectory())
    return order_server(data, "--max-streams", str(streams))


async def _main(asked: argparse.Namespace) -> None:
    print(
        "| attack | server | worst wait | server at work in it | memory before | during | after |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.attacks:
        with bare_server("bare_port.py", str(asked.streams)) as server:
            found = await _measured(server, name, waits_for_memory=False)
            print(f"| {name} | bare | {found}", flush=True)
        with ExitStack() as stack, _ours(stack, asked.streams) as server:
            found = await _measured(server, name, waits_for_memory=not asked.quick)
            print(f"| {name} | ours | {found}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS))
    parser.add_argument("--quick", action="store_true", help="do not wait for memory to come back")
    parser.add_argument("--streams", type=int, default=64, help="what a connection has at once")
    asyncio.run(_main(parser.parse_args()))
