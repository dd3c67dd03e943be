"""Placing a file of orders, batch by batch, and telling exactly how far it came."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from orderintake.errors import InvalidOrder, OrderIntakeError, RequestIdReused
from orderintake.jsonl import BadLine, Batch, batches
from orderintake.rendering import error_json, error_text, receipt_text
from orderintake.screen import INTERRUPTED, REFUSED, USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake.screen import Screen
    from orderintake.sync import Client

_PLACE_IN_BATCH = re.compile(r"requests\[(\d+)\]\.?")


@dataclass(slots=True, kw_only=True)
class _Tally:
    """How far it came. `sending` is the batch whose answer is not known."""

    placed: int = 0
    replayed: int = 0
    last_line: int = 0
    sending: Batch | None = None

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"placed": self.placed, "last_line_placed": self.last_line}
        if self.sending is not None:
            numbers = self.sending.line_numbers
            data["lines_in_doubt"] = [numbers[0], numbers[-1]]
        return data

    def __str__(self) -> str:
        text = "1 order placed" if self.placed == 1 else f"{self.placed} orders placed"
        if self.replayed:
            text += f" ({self.replayed} of them had been placed before)"
        if self.last_line:
            text += f", up to line {self.last_line}"
        if self.sending is not None:
            numbers = self.sending.line_numbers
            text += f"; lines {numbers[0]} to {numbers[-1]} are in doubt"
        return text


def place_file(client: Client, file: IO[bytes], screen: Screen) -> None:
    """Place every order of a file; a batch is sent when all its lines have been read as orders.

    Raises:
        typer.Exit: a line is no order, the service refused, or Ctrl-C came. How many orders were
            placed is said, and which lines may have been.
    """
    tally = _Tally()
    try:
        _place_batches(client, file, screen, tally)
    except BadLine as error:
        _stop(screen, tally, {"message": str(error), "line": error.number}, code=USAGE)
    except OrderIntakeError as error:
        _stop(screen, tally, _refusal(error, tally), code=REFUSED)
    except KeyboardInterrupt:
        _stop(screen, tally, {"message": "interrupted"}, code=INTERRUPTED)
    if not screen.as_json:
        screen.out.print(str(tally))


def _place_batches(client: Client, file: IO[bytes], screen: Screen, tally: _Tally) -> None:
    with _progress(screen) as progress:
        # What is no regular file has no size: the bar then only shows that there is life.
        task = progress.add_task(str(tally), total=os.fstat(file.fileno()).st_size or None)
        for batch in batches(_heard(file, progress, task)):
            tally.sending = batch
            receipts = client.place_batch(batch.requests)
            tally.sending = None
            tally.placed += len(receipts)
            tally.replayed += sum(receipt.replayed for receipt in receipts)
            tally.last_line = batch.line_numbers[-1]
            progress.update(task, description=str(tally))
            if screen.as_json:
                for receipt in receipts:
                    screen.show(receipt, receipt_text)


def _progress(screen: Screen) -> Progress:
    is_seen = screen.err.is_terminal and not (screen.as_json and screen.out.is_terminal)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        console=screen.err,
        transient=True,
        disable=not is_seen,
        # Else rich would lead standard output to this console, which is standard error.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _heard(file: IO[bytes], progress: Progress, task: TaskID) -> Iterator[bytes]:
    for line in file:
        progress.advance(task, len(line))
        yield line


def _refusal(error: OrderIntakeError, tally: _Tally) -> dict[str, Any]:
    """Return the error's data, with lines of the file for places in the batch."""
    found = error_json(error)
    batch = tally.sending
    if batch is not None and isinstance(error, InvalidOrder | RequestIdReused):
        tally.sending = None  # no doubt: a batch is placed as a whole or not at all
        for bad in found.get("violations", ()):
            if place := _PLACE_IN_BATCH.match(bad["field"]):
                bad["line"] = batch.line_numbers[int(place[1])]
                bad["field"] = bad["field"][place.end() :]
    return found


def _stop(screen: Screen, tally: _Tally, found: dict[str, Any], *, code: int) -> NoReturn:
    screen.tell(found | tally.data(), error_text(found).append(f"\n{tally}"))
    raise typer.Exit(code)
