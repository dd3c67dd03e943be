"""Places a file of orders, batch by batch, and reports exactly which lines were placed."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from orderintake.cli.jsonl import MOST_ORDERS, BadLine, Batch, batches
from orderintake.cli.screen import INTERRUPTED, USAGE, exit_code, explained, lost_output
from orderintake.cli.text import error_text, receipt_text
from orderintake.errors import OrderIntakeError
from orderintake.pace import Pace, is_definite

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
    refused: Batch | None = None
    pace: Pace = field(default_factory=lambda: Pace(MOST_ORDERS))

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
        typer.Exit: a line is no order, the service refused, output or input failed, or Ctrl-C came.
            Standard error says how many orders were placed, and which lines may have been.
    """
    placed = _Placed()
    try:
        _place_batches(client, file, screen, placed)
        if not screen.as_json:
            screen.out.print(str(placed))
    except BadLine as error:
        _exit(screen, placed, {"message": str(error), "line": error.number}, code=USAGE)
    except OrderIntakeError as error:
        _exit(screen, placed, _refusal(error, client, placed), code=exit_code(error))
    except KeyboardInterrupt:
        _exit(screen, placed, {"message": "interrupted"}, code=INTERRUPTED)
    except OSError as error:
        code, found = lost_output(error)
        _exit(screen, placed, found, code=code)


def _place_batches(client: Client, file: IO[bytes], screen: Screen, placed: _Placed) -> None:
    with _progress(screen) as progress:
        # A pipe has no size: the bar then shows only that the program is at work.
        task = progress.add_task(str(placed), total=_size(file))
        for batch in batches(_lines(file, progress, task)):
            rest: Batch | None = batch
            while rest is not None:
                rest = _place_some(client, rest, screen, placed)
                progress.update(task, description=str(placed))


def _size(file: IO[bytes]) -> int | None:
    with suppress(OSError, ValueError):
        return os.fstat(file.fileno()).st_size or None
    return None


def _place_some(client: Client, batch: Batch, screen: Screen, placed: _Placed) -> Batch | None:
    """Place the first orders of a batch, as many as the server takes; return those that remain.

    Raises:
        OrderIntakeError: it takes none of them, now or later.
    """
    some, rest = batch.cut(placed.pace.size)
    placed.sending = some
    try:
        receipts = client.place_batch(some.requests)
    except OrderIntakeError as error:
        if is_definite(error):
            placed.sending, placed.refused = None, some  # a batch is placed whole or not at all
        wait = placed.pace.refused(error, len(some.requests))
        _wait(wait, error, screen, placed)
        return batch
    placed.pace.accepted()
    placed.count(some, receipts)
    for receipt in receipts if screen.as_json else ():  # people are told their number at the end
        screen.show(receipt, receipt_text)
    return rest


def _wait(seconds: float, error: OrderIntakeError, screen: Screen, placed: _Placed) -> None:
    """Wait for room, and say so: at first, and once a minute."""
    if seconds and placed.pace.has_to_tell():
        message = f"{error}; waiting for room, {placed}"
        screen.report({"message": message}, Text(message, style="yellow"))
    time.sleep(seconds)


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


def _refusal(error: OrderIntakeError, client: Client, placed: _Placed) -> dict[str, Any]:
    """Return the error's data; an index in the batch becomes a line of the file."""
    found = explained(error, client)
    if placed.refused is not None:
        for bad in found.get("violations", ()):
            _name_line(bad, placed.refused.line_numbers)
    return found


def _name_line(bad: dict[str, Any], numbers: tuple[int, ...]) -> None:
    if index := _INDEX_IN_BATCH.match(bad["field"]):
        bad["line"] = numbers[int(index[1])]
        bad["field"] = bad["field"][index.end() :]
    elif len(numbers) == 1:
        bad["line"] = numbers[0]


def _exit(screen: Screen, placed: _Placed, found: dict[str, Any], *, code: int) -> NoReturn:
    screen.report(found | placed.data(), error_text(found).append(f"\n{placed}"))
    raise typer.Exit(code)
