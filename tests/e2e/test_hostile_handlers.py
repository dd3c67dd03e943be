"""P21: a real server whose handlers do the worst processes the orders beside, and stops with 0."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.process.signals import HEARD_AGAIN
from orderintake_server.store.sqlite.audit import audit
from support.handler_fuzz import ARGUMENTS, HANDLERS, MOST_SECONDS, batch, ends, faults
from support.in_process import completions
from support.orders import order
from support.process import run_to_end, server_process, serving_process
from support.replicas import replicas
from support.watched import queue_stats

pytestmark = pytest.mark.seconds

ONCE = ("--max-attempts", "1")


@pytest.mark.timeout(2 * MOST_SECONDS)
@pytest.mark.parametrize("handler", HANDLERS)
async def test_p21_no_handler_is_noticed_by_the_order_beside_it(
    tmp_path: Path, handler: str
) -> None:
    arguments = ("--handler", handler, *ARGUMENTS)
    async with serving_process(tmp_path, *arguments) as (server, stub):
        requests = batch(Random(handler), count=120)
        assert faults(requests, await ends(stub, requests)) == []
        assert server.is_running()
        assert await server.stops() == 0
    assert await asyncio.to_thread(audit, tmp_path) == []


@pytest.mark.timeout(2 * MOST_SECONDS)
@pytest.mark.parametrize("handler", ["support.hostile:by_way", "support.misdeeds:quick"])
async def test_p21_no_handler_is_noticed_by_replicas(handler: str) -> None:
    async with replicas("--handler", handler, *ARGUMENTS) as here:
        one, two = await here.start("one"), await here.start("two")
        requests = batch(Random(2), count=120)
        assert faults(requests, await ends(one.stub, requests)) == []
        assert [await replica.process.stops() for replica in (one, two)] == [0, 0]


async def test_p21_a_stop_is_heard_whatever_handlers_left_behind(tmp_path: Path) -> None:
    handler = ("--handler", "support.hostile:exits_all_the_time")
    for turn in range(3):
        async with serving_process(tmp_path / str(turn), *handler) as (server, stub):
            await stub.PlaceOrder(order())
            await completions(stub, 1)
            assert await server.stops() == 0


@pytest.mark.parametrize(
    "what",
    [
        "cancel_all",
        "replace_streams",
        "hang_at_exit",
        "exit_at_exit",
        "take_signals",
        "drop_signals",
        "block_signals",
        "ring_alarm",
    ],
)
async def test_p21_what_a_handler_changes_of_the_process_neither_ends_nor_holds_it(
    tmp_path: Path, what: str
) -> None:
    async with serving_process(tmp_path, "--handler", "support.leaving:handle") as (server, stub):
        await stub.PlaceOrder(order(labels={"leaves": what}))
        await completions(stub, 1)
        await stub.PlaceOrder(order())
        ended = await completions(stub, 2)
        if what in {"take_signals", "drop_signals"}:
            await asyncio.to_thread(server.wait_for, HEARD_AGAIN)
        assert await server.stops() == 0
    assert {each.order.state for each in ended} == {order_pb2.STATE_SUCCEEDED}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("support.hostile:Words", "is a class"),
        ("support.handler_fuzz:faults", "cannot be called"),
        ("support.hostile:_deep.nothing", "AttributeError"),
    ],
)
def test_a_handler_that_cannot_work_ends_the_start_with_the_reason(path: str, why: str) -> None:
    end = run_to_end("--handler", path, "--listen", "127.0.0.1:0")
    assert (end.returncode, why in end.stderr) == (1, True), end.stderr


async def test_a_handlers_module_is_loaded_before_the_loop_runs(tmp_path: Path) -> None:
    module = "import asyncio\nasyncio.run(asyncio.sleep(0))\ndef place(order): pass\n"
    (tmp_path / "looping_shop.py").write_text(module)
    handler = ("--handler", "looping_shop:place")
    with server_process(tmp_path / "data", *handler, cwd=tmp_path) as server:
        assert await server.stops() == 0


async def test_a_handler_that_blocks_the_loop_is_named_in_the_log(tmp_path: Path) -> None:
    names = ("--handler", "support.handlers:blocks_the_loop", "--lifespan", "support.handlers:oven")
    async with serving_process(tmp_path, *names) as (server, stub):
        receipt = await stub.PlaceOrder(order())
        (end,) = await completions(stub, 1)
        assert end.order.state == order_pb2.STATE_SUCCEEDED
        assert (await queue_stats(server.address)).loop_stalls >= 1
        assert await server.stops() == 0
    told = [entry for entry in server.log if "event loop is blocked" in str(entry["event"])]
    assert told[0]["order_id"] == receipt.order.order_id
    assert told[0]["handler"] == "support.handlers:blocks_the_loop"
    assert "support/handlers.py" in str(told[0]["line"])
    events = server.events()
    assert events.index("oven on") < events.index("listening")
    assert events.index("stopping") < events.index("oven off") < events.index("stopped")


async def test_hanging_threads_are_replaced_up_to_a_bound_and_then_orders_wait(
    tmp_path: Path,
) -> None:
    arguments = ("--workers", "1", "--attempt-timeout", "0.3", "--stuck-attempts", "2", *ONCE)
    handler = ("--handler", "support.handlers:hangs", *arguments)
    async with serving_process(tmp_path, *handler) as (server, stub):
        for sku in ("hang", "good", "hang", "good", "hang"):
            await stub.PlaceOrder(order(sku))
        last = await stub.PlaceOrder(order("waits"))
        found = await completions(stub, 5)
        states = [one.order.state for one in found]
        assert states == [order_pb2.STATE_FAILED, order_pb2.STATE_SUCCEEDED] * 2 + [
            order_pb2.STATE_FAILED
        ]
        assert {one.failure.code for one in found if one.failure.code} == {"ATTEMPT_TIMEOUT"}
        await asyncio.to_thread(server.wait_for, "orders wait: too many handlers do not end")
        waits = await stub.GetOrder(api.GetOrderRequest(order_id=last.order.order_id))
        assert waits.order.state == order_pb2.STATE_QUEUED
        assert (await queue_stats(server.address)).stuck_attempts == 3
        stuck = [entry for entry in server.log if "does not end" in str(entry["event"])]
        assert [entry["stuck"] for entry in stuck[:3]] == [1, 2, 3]
        assert stuck[0]["order_id"] == found[0].order.order_id
        baked = [entry for entry in server.log if entry["event"] == "bake"]
        assert [(entry["order_id"], entry["customer_id"], entry["attempt"]) for entry in baked] == [
            (one.order.order_id, "ada", 1) for one in found
        ]
        assert await server.stops() == 0
