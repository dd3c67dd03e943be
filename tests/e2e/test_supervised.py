"""W6, W7, W14: whatever a handler does to its process, the intake goes on, and nobody else pays."""

import asyncio
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM, SIGUSR2

import grpc
import psutil
import pytest
import structlog

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.handler_fuzz import ARGUMENTS, HANDLERS, MOST_SECONDS, batch, ends, faults
from support.in_process import Stub, completions
from support.orders import order
from support.process import run_to_end, serving_process
from support.remote_gate import remote_gate
from support.supervised import STORES, probing, supervising, workers

pytestmark = pytest.mark.seconds

log = structlog.get_logger()

ONCE = ("--max-attempts", "1")
DEADLY = ("--handler", "support.deadly:by_label", "--workers", "4", *ONCE)
DEATHS = (
    *("exits", "exits_in_a_thread", "kills", "kills_its_group", "aborts", "crashes"),
    "becomes_another",
)
CHARGED = "an attempt ended with its worker process"
GIVEN_UP = "worker processes have been renewed"
QUICK_SECONDS = 1.0
"""No order takes longer to be accepted: the machine may be busy with other tests."""


@pytest.mark.timeout(2 * MOST_SECONDS)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("handler", HANDLERS)
async def test_w14_w15_no_handler_is_noticed_by_the_order_beside_it(
    tmp_path: Path, handler: str, store: str
) -> None:
    arguments = ("--handler", handler, *ARGUMENTS)
    async with supervising(store, tmp_path, *arguments, processes=2) as (server, stub):
        requests = batch(Random(handler), count=120)
        async with probing(stub) as probe:
            assert faults(requests, await ends(stub, requests)) == []
        assert server.is_running()
        assert await server.stops() == 0
    log.info("placed beside it", handler=handler, **probe.told())


@pytest.mark.parametrize("deed", DEATHS)
async def test_w14_an_order_that_ends_its_process_is_quarantined_alone(
    tmp_path: Path, deed: str
) -> None:
    await _quarantined_alone("sqlite", tmp_path, deed)


@pytest.mark.parametrize("deed", ["kills", "exits"])
async def test_w14_so_it_is_with_replicas(tmp_path: Path, deed: str) -> None:
    await _quarantined_alone("postgres", tmp_path, deed)


async def _quarantined_alone(store: str, data: Path, deed: str, *more: str) -> None:
    async with supervising(store, data, *DEADLY, *more) as (server, stub):
        async with probing(stub) as probe:
            skus = ["good", "good", "bad", *["good"] * 6]
            requests = [order(sku, labels={"deed": deed} if sku == "bad" else {}) for sku in skus]
            found = await ends(stub, requests)
            states = [one.order.state for one in found]
        assert server.is_running()
        assert await server.stops() == 0
    bad = found[2]
    assert (bad.failure.code, bad.order.attempt_count) == ("QUARANTINED", 3)
    assert states == [
        order_pb2.STATE_FAILED if sku == "bad" else order_pb2.STATE_SUCCEEDED for sku in skus
    ]
    assert max(probe.seconds) < QUICK_SECONDS
    log.info("placed beside it", deed=deed, **probe.told())


@pytest.mark.parametrize("store", STORES)
async def test_w14_an_order_that_freezes_its_process_is_quarantined_alone(
    tmp_path: Path, store: str
) -> None:
    await _quarantined_alone(store, tmp_path, "freezes", "--worker-lease", "1", "--lease", "0.5")


@pytest.mark.parametrize("deed", ["blocks", "holds_the_lock"])
async def test_w14_what_blocks_its_process_holds_up_nobody_else(tmp_path: Path, deed: str) -> None:
    async with supervising("sqlite", tmp_path, *DEADLY, processes=2) as (server, stub):
        async with probing(stub) as probe:
            (found,) = await ends(stub, [order("bad", labels={"deed": deed})])
        assert found.order.state == order_pb2.STATE_SUCCEEDED
        assert max(probe.seconds) < QUICK_SECONDS
        assert await server.stops() == 0
    log.info("placed beside it", deed=deed, **probe.told())


@pytest.mark.parametrize("store", STORES)
async def test_w6_a_killed_process_is_charged_once_and_its_orders_start_again_at_once(
    tmp_path: Path, store: str
) -> None:
    loop = asyncio.get_running_loop()
    async with remote_gate() as gate:
        given = ("--workers", "2", *ONCE)
        async with supervising(store, tmp_path, *given, gate=gate) as (server, stub):
            for sku in ("one", "two"):
                await stub.PlaceOrder(order(sku))
            await gate.starts(2)
            (worker,) = workers(server)
            worker.send_signal(SIGKILL)
            began = loop.time()
            await gate.starts(4)
            log.info("started again", seconds=round(loop.time() - began, 3))
            await gate.let_through(4)
            found = await completions(stub, 2)
            assert await server.stops() == 0
    assert [one.order.attempt_count for one in found] == [2, 2]
    assert {one.order.state for one in found} == {order_pb2.STATE_SUCCEEDED}
    charged = [entry for entry in server.log if entry["event"] == CHARGED]
    assert {entry["order_id"] for entry in charged} == {one.order.order_id for one in found}
    assert [entry["crash_count"] for entry in charged] == [1, 1]
    died = next(entry for entry in server.log if entry["event"] == "a worker process died")
    assert (died["end"], died["orders"]) == ("SIGKILL", 2)


@pytest.mark.parametrize("deed", ["blocks", "holds_the_lock"])
async def test_w14_the_death_of_the_server_is_its_processes_end(tmp_path: Path, deed: str) -> None:
    async with serving_process(tmp_path, *DEADLY, "--worker-processes", "2") as (server, stub):
        await stub.PlaceOrder(order("bad", labels={"deed": deed}))
        children = workers(server)
        server.kill()
        ended = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert (len(children), ended[1]) == (2, [])


@pytest.mark.parametrize("store", STORES)
async def test_w7_a_renewal_under_load_brings_new_code_and_charges_nothing(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = tmp_path / "renewed_kitchen.py"
    cook = "import asyncio\nfrom google.protobuf.wrappers_pb2 import Int32Value\n"
    cook += (
        "async def cook(order):\n    await asyncio.sleep(0.02)\n    return Int32Value(value=%d)\n"
    )
    kitchen.write_text(cook % 1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    given = ("--handler", "renewed_kitchen:cook", "--workers", "4", *ONCE)
    async with supervising(store, tmp_path / "data", *given, processes=2) as (server, stub):
        before = {process.pid for process in workers(server)}
        async with probing(stub) as probe:
            kitchen.write_text(cook % 2)
            server.signal(SIGUSR2)
            await asyncio.to_thread(server.wait_for, GIVEN_UP)
            receipt = await stub.PlaceOrder(order("last"))
        found = await completions(stub, len(probe.seconds) + 1)
        while all(one.order.order_id != receipt.order.order_id for one in found):
            # The probe was stopped while its last order was placed: it is not in its count.
            found += await completions(stub, 1, after=found[-1].cursor)
        assert before.isdisjoint({process.pid for process in workers(server)})
        assert await server.stops() == 0
    assert {one.order.state for one in found} == {order_pb2.STATE_SUCCEEDED}
    assert {one.order.attempt_count for one in found} == {1}
    last = next(one for one in found if one.order.order_id == receipt.order.order_id)
    assert last.result.value == b"\x08\x02"
    assert found[0].result.value == b"\x08\x01"
    assert CHARGED not in server.events()


async def test_w7_new_code_that_cannot_be_loaded_is_told_and_the_old_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = tmp_path / "broken_kitchen.py"
    kitchen.write_text("def cook(order): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    given = ("--handler", "broken_kitchen:cook", *ONCE)
    async with supervising("sqlite", tmp_path / "data", *given) as (server, stub):
        before = [process.pid for process in workers(server)]
        kitchen.write_text("1 / 0\n")
        server.signal(SIGUSR2)
        told = await asyncio.to_thread(server.wait_for, "a worker process could not start")
        assert "ZeroDivisionError" in str(told["reason"])
        await stub.PlaceOrder(order())
        (found,) = await completions(stub, 1)
        assert found.order.state == order_pb2.STATE_SUCCEEDED
        assert [process.pid for process in workers(server)] == before
        assert await server.stops() == 0


@pytest.mark.parametrize("store", STORES)
async def test_w7_a_stop_lets_attempts_end_and_gives_back_what_takes_too_long(
    tmp_path: Path, store: str
) -> None:
    async with remote_gate() as gate:
        given = ("--workers", "2", "--drain-timeout", "1", *ONCE)
        async with supervising(store, tmp_path, *given, gate=gate) as (server, stub):
            for sku in ("soon", "late"):
                await stub.PlaceOrder(order(sku))
            await gate.starts(2)
            server.signal(SIGTERM)
            await asyncio.to_thread(server.wait_for, "stopping")
            await gate.let_through(1)
            assert await asyncio.to_thread(server.exit_code) == 0
            assert CHARGED not in server.events()
            (stopped,) = (one for one in server.log if one["event"] == "a worker process stopped")
            assert stopped["end"] == "exit code 0"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("support.hostile:Words", "is a class"),
        ("support.nothing:at_all", "cannot be loaded: ModuleNotFoundError"),
        ("support.deadly:exits", "cannot be called with one argument"),
    ],
)
def test_a_handler_that_cannot_work_ends_the_start_with_the_reason(path: str, why: str) -> None:
    given = ("--handler", path, "--listen", "127.0.0.1:0")
    own = run_to_end(*given)
    supervised = run_to_end(*given, "--worker-processes", "2")
    assert why in supervised.stderr
    assert (supervised.returncode, supervised.stderr.splitlines()[-1:]) == (
        1,
        own.stderr.splitlines(),
    )


async def test_w15_the_log_of_a_handler_is_as_in_process_and_says_which_process(
    tmp_path: Path,
) -> None:
    names = ("--handler", "support.handlers:blocks_the_loop", "--lifespan", "support.handlers:oven")
    async with supervising("sqlite", tmp_path, *names, *ONCE) as (server, stub):
        receipt = await stub.PlaceOrder(order())
        (end,) = await completions(stub, 1)
        assert end.order.state == order_pb2.STATE_SUCCEEDED
        assert await server.stops() == 0
    told = next(one for one in server.log if "event loop is blocked" in str(one["event"]))
    assert (told["order_id"], told["worker"]) == (receipt.order.order_id, 1)
    assert told["handler"] == "blocks_the_loop"
    events = server.events()
    assert events.index("oven on") < events.index("listening")
    assert events.index("stopping") < events.index("oven off")
    assert events.index("oven off") < events.index("a worker process stopped")
    assert all("timestamp" in entry for entry in server.log)


async def test_half_of_the_slots_stuck_restarts_the_process(tmp_path: Path) -> None:
    given = ("--handler", "support.handlers:hangs", "--workers", "2", "--attempt-timeout", "0.3")
    async with supervising("sqlite", tmp_path, *given, *ONCE) as (server, stub):
        await stub.PlaceOrder(order("hang"))
        await asyncio.to_thread(
            server.wait_for, "a worker process ended: half of its handlers do not end"
        )
        receipt = await stub.PlaceOrder(order("good"))
        found = await completions(stub, 2)
        assert await server.stops() == 0
    assert [one.failure.code for one in found] == ["ATTEMPT_TIMEOUT", ""]
    assert found[1].order.order_id == receipt.order.order_id
    assert CHARGED not in server.events()


async def test_a_cancel_reaches_the_handler(tmp_path: Path) -> None:
    async with (
        remote_gate() as gate,
        supervising("sqlite", tmp_path, *ONCE, gate=gate) as (server, stub),
    ):
        receipt = await stub.PlaceOrder(order())
        await gate.starts(1)
        await stub.CancelOrder(api.CancelOrderRequest(order_id=receipt.order.order_id))
        (found,) = await completions(stub, 1)
        assert found.order.state == order_pb2.STATE_CANCELLED
        assert await server.stops() == 0


async def test_the_socket_of_worker_processes_serves_them_and_nothing_else(tmp_path: Path) -> None:
    async with supervising("sqlite", tmp_path, *DEADLY) as (server, _):
        (worker,) = workers(server)
        (path,) = (one for one in worker.cmdline() if one.startswith("--socket="))
        async with grpc.aio.insecure_channel(f"unix:{path.removeprefix('--socket=')}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await Stub(channel).PlaceOrder(order())
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await server.stops() == 0
    assert not Path(path.removeprefix("--socket=")).parent.exists()
