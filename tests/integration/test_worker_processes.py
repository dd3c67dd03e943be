"""Real worker processes, before a server that is in the test's own hands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orderintake_server import logger
from orderintake_server.errors import StartupFailed
from orderintake_server.supervisor.deaths import Charged
from orderintake_server.supervisor.instructions import Instructions
from orderintake_server.supervisor.supervisor import Supervisor, supervised
from support.stub_worker import can_import_support
from support.work_port import WorkPort, work_port

pytestmark = pytest.mark.seconds


class OfPort:
    """Takes back what a worker had."""

    def __init__(self, port: WorkPort) -> None:
        self._port = port
        self.charged: list[str] = []

    def expect(self, worker_id: str) -> None:
        pass

    async def died(self, worker_id: str) -> Sequence[Charged]:
        had = [
            lease.order for lease in self._port.desk.leases.values() if lease.worker == worker_id
        ]
        self.charged += had
        await self.ended(worker_id)
        return [Charged(accept_sequence=1, crash_count=1, is_quarantined=False) for _ in had]

    async def ended(self, worker_id: str) -> int:
        returned = self._port.desk.end(worker_id)
        await self._port.change()
        return returned


@asynccontextmanager
async def at_work(
    tmp_path: Path, handler: str, *, lifespan: str = "", drain_timeout: float = 5.0
) -> AsyncIterator[tuple[WorkPort, Supervisor, OfPort]]:
    """Have two processes of four slots; drain them at the end."""
    told = Instructions(
        handler=handler,
        lifespan=lifespan,
        socket=str(tmp_path / "socket"),
        drain_timeout=drain_timeout,
        exception_text=False,
        scheduling="normal",
        log_format="json",
        log_level="info",
    )
    async with work_port(f"unix:{told.socket}") as port:
        deaths = OfPort(port)
        async with (
            supervised(told, deaths, processes=2, slots=8) as supervisor,
            asyncio.TaskGroup() as tasks,
        ):
            supervisor.watch(tasks)
            yield port, supervisor, deaths
            await supervisor.drain()


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the log."""
    written: list[str] = []
    monkeypatch.setattr(logger._lines, "write", written.append)  # noqa: SLF001
    can_import_support(monkeypatch)
    return written


async def test_processes_take_orders_and_stop_in_order(tmp_path: Path, lines: list[str]) -> None:
    handler = ("support.deadly:by_label", "support.handlers:oven")
    async with at_work(tmp_path, handler[0], lifespan=handler[1]) as (port, _, deaths):
        await port.place(*map(str, range(100)))
        await port.completed(100)
    assert sorted(map(int, port.desk.completed())) == list(range(100))
    assert deaths.charged == []
    assert sum("oven on" in line for line in lines) == 2
    assert sum("oven off" in line for line in lines) == 2
    assert sum('"worker": 2' in line and "oven" in line for line in lines) == 2


async def test_one_that_is_killed_is_charged_and_its_orders_are_processed(tmp_path: Path) -> None:
    async with at_work(tmp_path, "support.deadly:by_label") as (port, supervisor, deaths):
        await port.place(*map(str, range(50)))
        await port.completed(8)
        next(iter(supervisor.living)).kill()
        await port.completed(50)
    assert sorted(map(int, port.desk.completed())) == list(range(50))
    assert 1 <= len(deaths.charged) <= 4


async def test_a_lifespan_that_cannot_begin_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    why = "the lifespan of 'support.deadly:by_label' cannot begin: TypeError"
    with pytest.raises(StartupFailed, match=why):
        async with at_work(tmp_path, "support.deadly:by_label", lifespan="support.deadly:by_label"):
            pass


async def test_a_renewal_under_load_charges_nothing(tmp_path: Path) -> None:
    async with at_work(tmp_path, "support.deadly:by_label") as (port, supervisor, deaths):
        before = set(supervisor.living)
        await port.place(*map(str, range(300)))
        supervisor.renew()
        await port.completed(300)
        async with asyncio.timeout(20):
            await asyncio.wait({process.ended for process in before})
    assert sorted(map(int, port.desk.completed())) == list(range(300))
    assert deaths.charged == []
