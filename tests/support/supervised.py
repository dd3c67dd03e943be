"""A server whose orders are processed by worker processes, and what is seen of them."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from orderintake_server.store.sqlite.audit import audit
from support.in_process import Stub
from support.orders import order
from support.process import ServerProcess, serving_process
from support.remote_gate import RemoteGate
from support.replicas import replicas

STORES = ("sqlite", "postgres")


@asynccontextmanager
async def supervising(
    store: str, data: Path, *arguments: str, processes: int = 1, gate: RemoteGate | None = None
) -> AsyncIterator[tuple[ServerProcess, Stub]]:
    """Run a server with worker processes on this kind of store; its rules hold at the end."""
    given = ("--worker-processes", str(processes), *arguments)
    if store == "postgres":
        async with replicas(*given) as here:
            replica = await here.start("one", gate=gate)
            yield replica.process, replica.stub
    else:
        asking = gate.arguments if gate and "--handler" not in arguments else ()
        env = gate.env if gate else None
        async with serving_process(data, *asking, *given, env=env) as (server, stub):
            yield server, stub
        assert await asyncio.to_thread(audit, data) == []


def workers(server: ServerProcess) -> list[psutil.Process]:
    """Tell which worker processes it has."""
    return psutil.Process(server.pid).children()


async def until(is_so: Callable[[], object], *, seconds: float = 20) -> None:
    """Look until it is so. Raises TimeoutError when it never is."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - what processes do is no event of ours
            await asyncio.sleep(0.005)


class Probe:
    """Places an order again and again, and keeps how long each took."""

    def __init__(self, place: Callable[[], Awaitable[object]]) -> None:
        self._place = place
        self.seconds: list[float] = []

    async def run(self) -> None:
        """Place without end."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._place()
            self.seconds.append(loop.time() - began)
            await asyncio.sleep(0.02)

    def told(self) -> dict[str, float]:
        """Tell the median and the worst, in milliseconds."""
        return {
            "p50": round(statistics.median(self.seconds) * 1e3, 1),
            "worst": round(max(self.seconds) * 1e3, 1),
        }


@asynccontextmanager
async def probing(stub: Stub) -> AsyncIterator[Probe]:
    """Place good orders beside what happens inside."""
    probe = Probe(lambda: stub.PlaceOrder(order("probe")))
    task = asyncio.create_task(probe.run())
    try:
        yield probe
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
