"""Callers by HTTP who leave before their requests are read."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.http.connect import codecs
from orderintake_server.http.json import read_json
from support.connect import INTAKE, asked
from support.http_listener import listening
from support.metrics import scrape

BATCH = f"{INTAKE}/BatchPlaceOrders"
METHOD = BATCH.removeprefix("/")


def batch(customer: str) -> dict[str, Any]:
    order = {"customerId": customer, "lines": [{"sku": "tea" * 20, "quantity": 1}]}
    return {"requests": [order] * 500}


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no body be read until this is set."""
    may_read = threading.Event()

    def patient(*args: Any) -> Any:  # noqa: ANN401
        may_read.wait(30)
        return read_json(*args)

    monkeypatch.setattr(codecs, "read_json", patient)
    yield may_read
    may_read.set()


async def until_in_flight(port: int, count: int) -> None:
    async with asyncio.timeout(30):
        while (await scrape(port)).value("rpc_in_flight", method=METHOD) != count:
            pass


async def test_nothing_is_kept_of_a_request_that_waits_for_its_reading_when_its_sender_leaves(
    tmp_path: Path, reading: threading.Event
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
        reading.set()
        assert (await stays).status == 200
        assert (await scrape(port)).value("orders_accepted_total") == 500
