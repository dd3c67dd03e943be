"""Requests by HTTP that wait to be read: how many, and of whom."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.http import bodies
from orderintake_server.http.connect import codecs
from orderintake_server.http.json import read_json
from orderintake_server.http.json.threads import LOOP_BYTES
from support.connect import INTAKE, WORK, asked
from support.http_listener import listening
from support.metrics import scrape

BATCH = f"{INTAKE}/BatchPlaceOrders"
LEASE = f"{WORK}/LeaseOrders"
ORDERS = 1_000
METHOD = BATCH.removeprefix("/")


def batch(customer: str) -> dict[str, Any]:
    order = {"customerId": customer, "lines": [{"sku": "tea" * 20, "quantity": 1}]}
    return {"requests": [order] * ORDERS}


class Reading:
    """The reading of large bodies: it waits until the test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def read(self, kind: Any, text: bytes) -> Any:  # noqa: ANN401 - as `read_json` does
        if len(text) > LOOP_BYTES:
            self.begun.set()
            self.may_go_on.wait(30)
        return read_json(kind, text)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    found = Reading()
    monkeypatch.setattr(codecs, "read_json", found.read)
    yield found
    found.may_go_on.set()


async def until_in_flight(port: int, count: int) -> None:
    async with asyncio.timeout(30):
        while (await scrape(port)).value("rpc_in_flight", method=METHOD) != count:
            pass


async def test_nothing_is_kept_of_a_request_that_waits_for_its_reading_when_its_sender_leaves(
    tmp_path: Path, reading: Reading
) -> None:
    body = json.dumps(batch("leaves")).encode()
    head = f"POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with listening(tmp_path) as port:
        stays = asyncio.create_task(asked(port, BATCH, batch("stays")))
        await until_in_flight(port, 1)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await until_in_flight(port, 2)
        writer.transport.abort()
        await until_in_flight(port, 1)
        reading.may_go_on.set()
        assert (await stays).status == 200
        assert (await scrape(port)).value("orders_accepted_total") == ORDERS


async def test_large_requests_have_bounded_room_and_small_ones_are_let_in(
    tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = json.dumps(batch("ada")).encode()
    monkeypatch.setattr(bodies, "ALL_BYTES", len(large) * 3 // 2)
    async with listening(tmp_path) as port:
        waits = asyncio.create_task(asked(port, BATCH, batch("waits")))
        await asyncio.to_thread(reading.begun.wait, 30)
        refused = await asked(port, BATCH, large)
        reading.may_go_on.set()
        small = await asked(port, BATCH, {"requests": batch("bob")["requests"][:1]})
        assert (await waits).status == 200
        again = await asked(port, BATCH, large)
    assert (refused.status, refused.json["code"]) == (503, "unavailable")
    assert (small.status, again.status) == (200, 200)


async def test_a_large_answer_waits_for_nobodys_large_request(
    tmp_path: Path, reading: Reading
) -> None:
    async with listening(tmp_path) as port:
        reading.may_go_on.set()
        assert (await asked(port, BATCH, batch("ada"))).status == 200
        reading.may_go_on.clear()
        reading.begun.clear()
        waits = asyncio.create_task(asked(port, BATCH, batch("waits")))
        await asyncio.to_thread(reading.begun.wait, 30)
        async with asyncio.timeout(10):
            listed = await asked(port, f"{INTAKE}/ListOrders", {"pageSize": 600})
        assert len(listed.body) > LOOP_BYTES
        reading.may_go_on.set()
        assert (await waits).status == 200


async def test_w4_a_worker_that_leaves_waits_for_no_order_any_more(tmp_path: Path) -> None:
    body = json.dumps({"workerId": "me", "call": "1", "slots": 1}).encode()
    head = f"POST {LEASE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with listening(tmp_path) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await until_waiting(port, 1)
        writer.transport.abort()
        await until_waiting(port, 0)
        assert (
            await asked(port, f"{INTAKE}/PlaceOrder", batch("ada")["requests"][0])
        ).status == 200
        leased = (await asked(port, LEASE, {"workerId": "another", "slots": 1})).json
    assert leased["orders"][0]["order"]["attemptCount"] == 1


async def until_waiting(port: int, count: int) -> None:
    async with asyncio.timeout(30):
        while (await scrape(port)).value("remote_calls_waiting") != count:
            pass
