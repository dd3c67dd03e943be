"""Places a file of orders, batch by batch, and reports exactly which lines were placed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from orderintake.cli.json_output import error_json
from orderintake.cli.jsonl import BadLine, Batch, batches
from orderintake.cli.screen import INTERRUPTED, REFUSED, USAGE
from orderintake.cli.text import error_text, receipt_text
from orderintake.errors import InvalidOrder, OrderIntakeError, RequestIdReused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake.cli.screen import Screen
    from orderintake.sync import Client
    from orderintake.v1.order_intake_service_pb2 import PlaceOrderResponse

_INDEX_IN_BATCH = re.compile(r"requests\[(\d+)\]\.?")


@dataclass(slots=True, kw_only=True)
class _Placed:
    """How much of the file is placed; `sending` is a batch whose answer is not known yet."""

    orders: int = 0
    replayed: int = 0
    last_line: int = 0
    sending: Batch | None = None

    def count(self, batch: Batch, receipts: list[PlaceOrderResponse]) -> None:
        self.sending = None
        self.orders += len(receipts)
        self.replayed += sum(receipt.replayed for receipt in receipts)
        self.last_line = batch.line_numbers[-1]

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"placed": self.orders, "last_line_placed": self.last_line}
        if self.sending is not None:
            numbers = self.sending.line_numbers
            data["lines_in_doubt"] = [numbers[0], numbers[-1]]
        return data

    def __str__(self) -> str:
        text = "1 order placed" if self.orders == 1 else f"{self.orders} orders placed"
        if self.replayed:
            text += f" ({self.replayed} of them had been placed before)"
        if self.last_line:
            text += f", up to line {self.last_line}"
        if self.sending is not None:
            numbers = self.sending.line_numbers
            text += f"; lines {numbers[0]} to {numbers[-1]} are in doubt"
        return text


def place_file(client: Client, file: IO[bytes], screen: Screen) -> None:
    """Place every order of a file; a batch is sent once each of its lines was read as an order.

    Raises:
        typer.Exit: a line is no order, the service refused, or Ctrl-C came. Standard error says
            how many orders were placed, and which lines may have been.
    """
    placed = _Placed()
    try:
        _place_batches(client, file, screen, placed)
    except BadLine as error:
        _exit(screen, placed, {"message": str(error), "line": error.number}, code=USAGE)
    except OrderIntakeError as error:
        _exit(screen, placed, _refusal(error, placed), code=REFUSED)
    except KeyboardInterrupt:
        _exit(screen, placed, {"message": "interrupted"}, code=INTERRUPTED)
    if not screen.as_json:
        screen.out.print(str(placed))


def _place_batches(client: Client, file: IO[bytes], screen: Screen, placed: _Placed) -> None:
    with _progress(screen) as progress:
        # A pipe has no size: the bar then shows only that the program is at work.
        task = progress.add_task(str(placed), total=os.fstat(file.fileno()).st_size or None)
        for batch in batches(_lines(file, progress, task)):
            placed.sending = batch
            receipts = client.place_batch(batch.requests)
            placed.count(batch, receipts)
            progress.update(task, description=str(placed))
            _show_json(screen, receipts)


def _show_json(screen: Screen, receipts: list[PlaceOrderResponse]) -> None:
    """Show each receipt to programs; people are told their number at the end."""
    for receipt in receipts if screen.as_json else ():
        screen.show(receipt, receipt_text)


def _progress(screen: Screen) -> Progress:
    is_seen = screen.err.is_terminal and not (screen.as_json and screen.out.is_terminal)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        console=screen.err,
        transient=True,
        disable=not is_seen,
        # Otherwise rich would redirect standard output to this console, standard error.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _lines(file: IO[bytes], progress: Progress, task: TaskID) -> Iterator[bytes]:
    for line in file:
        progress.advance(task, len(line))
        yield line


def _refusal(error: OrderIntakeError, placed: _Placed) -> dict[str, Any]:
    """Return the error's data; an index in the batch becomes a line of the file."""
    found = error_json(error)
    batch = placed.sending
    if batch is None or not isinstance(error, InvalidOrder | RequestIdReused):
        return found
    placed.sending = None  # a batch that is refused was not placed at all
    for bad in found.get("violations", ()):
        if index := _INDEX_IN_BATCH.match(bad["field"]):
            bad["line"] = batch.line_numbers[int(index[1])]
            bad["field"] = bad["field"][index.end() :]
    return found


def _exit(screen: Screen, placed: _Placed, found: dict[str, Any], *, code: int) -> NoReturn:
    screen.report(found | placed.data(), error_text(found).append(f"\n{placed}"))
    raise typer.Exit(code)
