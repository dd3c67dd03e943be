"""The metrics of a server: what happens to orders, calls and streams is in the next scrape."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.work import Reject, Retry
from orderintake_server.config import Settings
from orderintake_server.domain import Tier
from orderintake_server.errors import StoreAway
from orderintake_server.handlers import OrderAttempt, Shop, simulate
from orderintake_server.metrics import TABLE, Kind
from orderintake_server.metrics.meters import NAMED_CODES
from orderintake_server.metrics.table import PREFIX
from orderintake_server.service import Running, running
from orderintake_server.store.sqlite.store import SqliteStore
from support.gate import Gate
from support.in_process import Stub, completions, read
from support.metrics import get, scrape
from support.orders import order
from support.refusals import refused

METHOD = "orderintake.v1.OrderIntakeService/"
MANY = 10_000


class Port:
    """Where a server is scraped."""

    def __init__(self, service: Running) -> None:
        assert service.http_port is not None
        self.number = service.http_port
        self.grpc = service.addresses[0]

    async def value(self, name: str, **labels: str) -> float:
        """Scrape one number."""
        return (await scrape(self.number)).value(name, **labels)

    async def until(self, expected: float, name: str, **labels: str) -> None:
        """Scrape until a number is what it should be."""
        async with asyncio.timeout(30):
            while await self.value(name, **labels) != expected:
                pass


@asynccontextmanager
async def scraped(
    data: Path,
    handler: Any = simulate,  # noqa: ANN401 - whatever a shop writes
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[tuple[Port, Stub]]:
    """Run a server with its HTTP listener; give that, and a stub."""
    chosen = Settings(
        listen=("127.0.0.1:0",),
        http="127.0.0.1:0",
        data=data,
        **{"workers": 1, "max_attempts": 1, "drain_timeout": 5.0, "vip_reserve": 0.0, **settings},
    )
    async with (
        running(chosen, shop=Shop(handler=handler)) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        yield Port(service), Stub(channel)


@pytest.mark.parametrize("form", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_a_scrape_shows_every_metric_of_the_table_with_its_labels(
    tmp_path: Path, form: str
) -> None:
    async with scraped(tmp_path) as (port, stub):
        await stub.PlaceOrder(order())
        found = await get(port.number, Accept=form)
    assert found.headers["Content-Type"].startswith(form.partition(";")[0])
    for name, metric in TABLE.items():
        shown = PREFIX + name
        if metric.kind is Kind.COUNTER and "openmetrics" in form:
            shown = shown.removesuffix("_total")
        assert f"# HELP {shown} {metric.help}\n" in found.text
        assert f"# TYPE {shown} {metric.kind.value}\n" in found.text
    assert "_created" not in found.text


async def test_calls_are_counted_by_method_and_code(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (port, stub):
        await stub.PlaceOrder(order())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.PlaceOrder(api.PlaceOrderRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetOrder(api.GetOrderRequest(order_id="none"))
        async with grpc.aio.insecure_channel(port.grpc) as channel:
            for path in ("/shop.Shop/Buy", f"/{METHOD}PlaceOrder"):
                call: Any = channel.unary_unary(path)
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"\xff")
        found = await scrape(port.number)
    place = {"method": f"{METHOD}PlaceOrder"}
    assert found.value("rpc_calls_total", code="OK", **place) == 1
    assert found.value("rpc_calls_total", code="INVALID_ARGUMENT", **place) == 2
    assert found.value("rpc_calls_total", code="UNIMPLEMENTED", method="_OTHER") == 1
    assert found.value("rpc_duration_seconds_count", **place) == 3
    assert found.value("rpc_in_flight") == 0
    assert found.value("refusals_total", reason="METHOD_UNKNOWN") == 1
    assert found.value("refusals_total") == 4
    assert found.value("malformed_requests_total") == 1


async def test_an_order_is_counted_from_its_accept_to_its_end(tmp_path: Path) -> None:
    gate = Gate()
    async with scraped(tmp_path, gate) as (port, stub):
        await stub.PlaceOrder(order(vip=True, request_id="once"))
        await stub.PlaceOrder(order(vip=True, request_id="once"))
        await gate.starts(1)
        receipt = await stub.PlaceOrder(order())
        busy = await scrape(port.number)
        await stub.CancelOrder(api.CancelOrderRequest(order_id=receipt.order.order_id))
        gate.open()
        await completions(stub, 2)
        await port.until(1, "attempts_total", tier="vip", outcome="succeeded")
        done = await scrape(port.number)
    assert busy.value("orders_accepted_total", tier="vip") == 1
    assert busy.value("orders_replayed_total", tier="vip") == 1
    assert busy.value("orders", tier="vip", state="processing") == 1
    assert busy.value("orders", tier="regular", state="queued") == 1
    assert busy.value("oldest_waiting_seconds", tier="regular") > 0
    assert busy.value("workers_busy", kind="own") == busy.value("workers") == 1
    assert done.value("orders_completed_total", tier="vip", state="succeeded") == 1
    assert done.value("orders_completed_total", tier="regular", state="cancelled") == 1
    assert done.value("wait_seconds_count") == done.value("service_seconds_count") == 1
    assert done.value("log_head") == 2
    assert done.value("commit_seconds_count") == done.value("commit_changes_count") > 0
    assert done.value("store_bytes", file="db") > 0


@pytest.mark.seconds
async def test_attempts_are_counted_by_how_they_end(tmp_path: Path) -> None:
    async def choosy(attempt: OrderAttempt) -> None:
        if attempt.lines[0].sku == "slow":
            await asyncio.Event().wait()
        if attempt.lines[0].sku == "none":
            raise Reject("OUT_OF_STOCK", "none left")
        if attempt.attempt == 1:
            raise Retry(after=0)

    async with scraped(tmp_path, choosy, max_attempts=2, attempt_timeout=0.2) as (port, stub):
        for sku in ("tea", "none", "slow"):
            await stub.PlaceOrder(order(sku))
        await completions(stub, 3)
        await port.until(2, "orders_completed_total", state="failed")
        found = await scrape(port.number)
    outcomes = {name: found.value("attempts_total", outcome=name) for name in ("retry", "failed")}
    assert outcomes == {"retry": 1, "failed": 1}
    assert found.value("attempts_total", outcome="timeout") == 2
    assert found.value("attempts_total", outcome="succeeded") == 1
    assert found.value("failures_total", code="OUT_OF_STOCK") == 1
    assert found.value("failures_total", code="ATTEMPT_TIMEOUT") == 2


async def test_streams_are_counted_with_their_lag_and_why_they_end(tmp_path: Path) -> None:
    async with scraped(tmp_path, workers=0) as (port, stub):
        streams = [stub.StreamCompletions(api.StreamCompletionsRequest()) for _ in range(2)]
        for stream in streams:
            await read(stream)
        await port.until(2, "subscribers")
        assert await port.value("subscriber_lag_completions") == 0
        streams[0].cancel()
        await port.until(1, "stream_ends_total", reason="client")
        await port.until(1, "subscribers")
        code = {"method": f"{METHOD}StreamCompletions", "code": "CANCELLED"}
        assert await port.value("rpc_calls_total", **code) == 1
        assert await port.value("rpc_in_flight", method=f"{METHOD}StreamCompletions") == 1


async def test_a_paused_tier_is_shown_and_no_reason_not_to_be_ready(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (port, _):
        async with grpc.aio.insecure_channel(port.grpc) as channel:
            operators: Any = admin_grpc.OrderAdminServiceStub(channel)
            await operators.PauseTier(admin.PauseTierRequest(tier=order_pb2.TIER_VIP))
        assert await port.value("tier_paused", tier="vip") == 1
        assert await port.value("tier_paused", tier="regular") == 0
        assert (await get(port.number, "/readyz")).status == 200


async def test_a_promise_to_an_order_that_waits_is_followed_to_its_start(tmp_path: Path) -> None:
    gate = Gate()
    async with scraped(tmp_path, gate) as (port, stub):
        await stub.PlaceOrder(order())
        await gate.starts(1)
        gate.open()
        await port.until(1, "service_seconds_count")  # from now on there are estimates
        gate.close()
        for _ in range(2):
            await stub.PlaceOrder(order())
        await gate.starts(1)
        await port.until(1, "workers_busy")
        await stub.PlaceOrder(order())
        gate.open()
        await completions(stub, 4)
        await port.until(4, "wait_seconds_count")
        assert await port.value("estimates_total") >= 1


@pytest.mark.seconds
async def test_ten_thousand_customers_and_codes_make_no_more_series_than_may_be(
    tmp_path: Path,
) -> None:
    async def picky(attempt: OrderAttempt) -> None:
        raise Reject(f"CODE_{attempt.customer_id}", "no")

    async with scraped(tmp_path, picky, workers=100) as (port, stub):
        await stub.BatchPlaceOrders(_batch(0, 1))
        await port.until(1, "orders_completed_total")
        before = await scrape(port.number)
        for first in range(1, MANY, 1_000):
            await stub.BatchPlaceOrders(_batch(first, 1_000))
        await port.until(MANY + 1, "orders_completed_total")
        after = await scrape(port.number)
    assert len(after.samples) - len(before.samples) <= NAMED_CODES + 1
    assert len(after.samples) < 1_000
    assert not [
        sample.name
        for sample in after.samples
        if any("customer-" in value for name, value in sample.labels.items() if name != "code")
    ]


def _batch(first: int, count: int) -> api.BatchPlaceOrdersRequest:
    numbers = range(first, first + count)
    return api.BatchPlaceOrdersRequest(
        requests=[order(customer_id=f"customer-{number}") for number in numbers]
    )


async def test_a_store_that_cannot_be_read_costs_a_scrape_one_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: SqliteStore) -> dict[Tier, int]:
        raise StoreAway("gone")

    monkeypatch.setattr(SqliteStore, "oldest_waiting", away)
    async with scraped(tmp_path) as (port, stub):
        await stub.PlaceOrder(order())
        found = await scrape(port.number)
    assert not found.families[f"{PREFIX}oldest_waiting_seconds"].samples
    assert found.value("orders_accepted_total") == 1


async def test_a_full_queue_is_a_refusal_with_its_reason(tmp_path: Path) -> None:
    async with scraped(tmp_path, workers=0, queue_limit=1) as (port, stub):
        await stub.PlaceOrder(order())
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.PlaceOrder(order())
        assert refused(error.value).reason == "QUEUE_FULL"
        assert await port.value("refusals_total", reason="QUEUE_FULL") == 1
        assert await port.value("queue_limit") == 1
