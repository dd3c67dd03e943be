"""Handlers for server processes: named by --handler support.handlers:..."""

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

from google.protobuf.struct_pb2 import Struct

from orderintake.work import Reject, Retry
from orderintake_server.handlers import OrderAttempt

GATE = "ORDERINTAKE_TEST_GATE"
"""The variable that names the port of the test's gate."""


async def ask_gate(order: OrderAttempt) -> Struct:
    """Tell the test's RemoteGate that the order started; return when it lets the order through."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[GATE]))
    try:
        told = {"order_id": order.order_id, "sku": order.lines[0].sku, "attempt": order.attempt}
        writer.write(json.dumps(told).encode() + b"\n")
        answer = await reader.readline()
    finally:
        writer.close()
    if not answer:
        raise ConnectionError("the test is over")
    return sku_result(order)


def sku_result(order: OrderAttempt) -> Struct:
    """Return a message with the order's first sku in it, from a thread."""
    result = Struct()
    result["sku"] = order.lines[0].sku
    result["is_main_thread"] = threading.current_thread() is threading.main_thread()
    return result


def never_ends(order: OrderAttempt) -> None:
    """Block a thread for good, once the test's gate knows."""
    asyncio.run(ask_gate(order))
    threading.Event().wait()


async def ignores_cancelling(order: OrderAttempt) -> None:
    """Go on for good, once the test's gate knows, whoever wants it to end."""
    await ask_gate(order)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def never_lets_go(order: OrderAttempt) -> None:
    """Block the event loop for good, once the test's gate knows."""
    await ask_gate(order)
    threading.Event().wait()


def hangs(order: OrderAttempt) -> None:
    """Log, and block a thread for good when the first sku says so."""
    logging.getLogger("kitchen").warning("bake")
    if order.lines[0].sku == "hang":
        threading.Event().wait()


@contextlib.asynccontextmanager
async def oven() -> AsyncIterator[str]:
    """Open what all orders need."""
    logging.getLogger("kitchen").warning("oven on")
    yield "oven"
    logging.getLogger("kitchen").warning("oven off")


async def blocks_the_loop(order: OrderAttempt) -> None:
    """Do what no async handler should, though it has an oven."""
    assert order.resources == "oven"
    time.sleep(2.5)  # noqa: ASYNC251 - that is it


async def by_sku(order: OrderAttempt) -> object:
    """Do what the first sku says: raise, exit, return a number, or nothing."""
    match order.lines[0].sku:
        case "raise":
            raise LookupError("no such article")
        case "die":
            os._exit(9)
        case "slow":
            await asyncio.sleep(1.0)
        case "exit":
            sys.exit(3)
        case "number":
            return 7
        case "cancel":
            raise asyncio.CancelledError
    return None


async def again_in_an_hour(order: OrderAttempt) -> None:
    """Ask for another attempt an hour later, if the sku is `again`."""
    if order.lines[0].sku == "again":
        raise Retry(after=3600)


async def by_code(order: OrderAttempt) -> None:
    """Reject an order whose first sku is a code, in capital letters."""
    if order.lines[0].sku.isupper():
        raise Reject(order.lines[0].sku, f"no {order.lines[0].sku.lower()} for {order.customer_id}")
