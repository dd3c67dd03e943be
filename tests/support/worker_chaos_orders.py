"""What workers do with orders in their chaos run: they keep a journal, whatever befalls them."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct

from orderintake.work import OrderAttempt
from support import chaos_orders

JOURNALS = "ORDERINTAKE_TEST_JOURNALS"
"""The variable that names the directory; a process writes into the file of its id."""
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
    path = Path(os.environ[JOURNALS]) / str(os.getpid())
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


class Attempted(NamedTuple):
    """An attempt, as the handler knows it."""

    order_id: str
    attempt: int


def attempted(journal: Path) -> Counter[Attempted]:
    """Tell which attempts a process began, and how many of each are not over."""
    found: Counter[Attempted] = Counter()
    for line in journal.read_text().splitlines():
        what, order_id, attempt = line.split()
        found[Attempted(order_id, int(attempt))] += 1 if what == "begins" else -1
    return found
