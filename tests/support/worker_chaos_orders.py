"""What workers do with orders in their chaos run: they keep a journal, whatever befalls them."""

import os
from pathlib import Path
from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct

from orderintake.work import OrderAttempt
from support import chaos_orders

JOURNAL = "ORDERINTAKE_TEST_JOURNAL"
"""The variable that names the file."""
KINDS = {kind: share for kind, share in chaos_orders.KINDS.items() if kind != "hostile"}
"""The orders of the other run, less those whose handlers end their process."""


async def work(order: OrderAttempt) -> Struct:
    """Do as the other run does; write down that it begins, and that it is over."""
    _write("begins", order)
    try:
        return await chaos_orders.work_innocent(order)
    finally:
        _write("ends", order)


def _write(what: str, order: OrderAttempt) -> None:
    """Add a line at once: a process that is killed behind it has written it."""
    line = f"{what} {order.order_id} {order.attempt}\n"
    journal = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


class Broken(NamedTuple):
    """An attempt that began and was never over: its process ended meanwhile."""

    order_id: str
    attempt: int


def broken(journal: Path) -> set[Broken]:
    """Tell which attempts of a process began and were not over."""
    begun: set[Broken] = set()
    for line in journal.read_text().splitlines() if journal.exists() else ():
        what, order_id, attempt = line.split()
        each = Broken(order_id, int(attempt))
        (begun.add if what == "begins" else begun.discard)(each)
    return begun
