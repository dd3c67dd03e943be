"""Places a file of orders, and reports exactly which of its lines were placed."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from orderintake.cli.jsonl import BadLine, orders
from orderintake.cli.screen import INTERRUPTED, USAGE, exit_code, explained, lost_output
from orderintake.cli.text import error_text, receipt_text
from orderintake.errors import OrderIntakeError
from orderintake.pace import Pace, is_definite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake.cli.screen import Screen
    from orderintake.sync import Client
    from orderintake.sync.placing import Placed, Placing
    from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest, PlaceOrderResponse


@dataclass(slots=True)
class _Line:
    """A line whose order is on its way."""

    number: int
    order: PlaceOrderRequest
    placed: Placed
    waits: int = 0
    """How often it has waited for room."""


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What became of the lines; `on_way` are those whose result was not looked at."""

    orders: int = 0
    replayed: int = 0
    last_line: int = 0
    on_way: deque[_Line] = field(default_factory=deque)
    refused: list[int] = field(default_factory=list)
    doubted: list[int] = field(default_factory=list)
    error: OrderIntakeError | None = None
    """Of the first line that was not placed."""
    pace: Pace = field(default_factory=Pace)
    began: float = field(default_factory=time.monotonic)

    def count(self, line: _Line, receipt: PlaceOrderResponse) -> None:
        self.orders += 1
        self.replayed += receipt.replayed
        self.last_line = max(self.last_line, line.number)

    def note(self, line: _Line, error: OrderIntakeError, *, is_its_own: bool) -> None:
        self.error = self.error or error
        is_refused = is_its_own and is_definite(error)
        (self.refused if is_refused else self.doubted).append(line.number)

    def leave(self) -> None:
        """Count what nobody has looked at; whatever has no receipt by now is in doubt."""
        for line in self.on_way:
            if line.placed.done() and line.placed.exception() is None:
                self.count(line, line.placed.result())
            else:
                self.doubted.append(line.number)
        self.on_way.clear()

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"placed": self.orders, "last_line_placed": self.last_line}
        if self.refused:
            data["lines_refused"] = self.refused
        if self.doubted:
            data["lines_in_doubt"] = [min(self.doubted), max(self.doubted)]
        return data

    def __str__(self) -> str:
        text = "1 order placed" if self.orders == 1 else f"{self.orders} orders placed"
        if self.replayed:
            text += f" ({self.replayed} of them had been placed before)"
        if self.last_line:
            text += f", up to line {self.last_line}"
        if earlier := [str(number) for number in self.refused if number < self.last_line]:
            text += f" but for {'line' if len(earlier) == 1 else 'lines'} {', '.join(earlier)}"
        if self.doubted:
            text += f"; lines {min(self.doubted)} to {max(self.doubted)} are in doubt"
        return text

    def speed(self) -> str:
        seconds = time.monotonic() - self.began
        return f"{self.orders / max(seconds, 0.001):,.0f} orders a second, for {seconds:.1f} s"


def place_file(client: Client, file: IO[bytes], screen: Screen) -> None:
    """Place every order of a file, one after the other, without waiting for each.

    Raises:
        typer.Exit: a line is no order, the service refused, output or input failed, or Ctrl-C came.
            Standard error says how many orders were placed, and which lines were not, or may be.
    """
    tally = _Tally()
    try:
        _place_lines(client, file, screen, tally)
        if not screen.as_json:
            screen.out.print(f"{tally}\n{tally.speed()}", soft_wrap=True)
    except BadLine as error:
        _exit(screen, tally, {"message": str(error), "line": error.number}, code=USAGE)
    except OrderIntakeError as error:
        _exit(screen, tally, _refusal(error, client, tally), code=exit_code(error))
    except KeyboardInterrupt:
        _exit(screen, tally, {"message": "interrupted"}, code=INTERRUPTED)
    except OSError as error:
        code, found = lost_output(error)
        _exit(screen, tally, found, code=code)


def _place_lines(client: Client, file: IO[bytes], screen: Screen, tally: _Tally) -> None:
    """Place all lines, as far as they are orders and accepted; look at each result.

    Raises:
        BadLine, OrderIntakeError: why the first line that was not placed was not.
    """
    bad: BadLine | None = None
    try:
        with _progress(screen) as progress, client.placing() as placing:
            try:
                _send(file, progress, placing, screen, tally)
            except BadLine as error:
                bad = error
            _look(placing, screen, tally, waits=True)
    finally:
        tally.leave()
    if failed := tally.error or bad:
        raise failed


def _send(
    file: IO[bytes], progress: Progress, placing: Placing, screen: Screen, tally: _Tally
) -> None:
    """Place line after line, up to the first of which it is known that it was not accepted."""
    # A pipe has no size: the bar then shows only that the program is at work.
    task = progress.add_task(str(tally), total=_size(file))
    for number, order in orders(_lines(file, progress, task)):
        tally.on_way.append(_Line(number, order, placing.place_message(order)))
        _look(placing, screen, tally, waits=False)
        progress.update(task, description=str(tally))
        if tally.error is not None:
            return


def _look(placing: Placing, screen: Screen, tally: _Tally, *, waits: bool) -> None:
    """Look at the results that are there, line after line; or wait for all of them."""
    while tally.on_way:
        line = tally.on_way[0]
        if not (waits or line.waits or line.placed.done()):
            return
        try:
            receipt = line.placed.result()
        except OrderIntakeError as error:
            _refused(line, error, placing, screen, tally)
        else:
            tally.on_way.popleft()
            _accepted(line, receipt, screen, tally)


def _accepted(line: _Line, receipt: PlaceOrderResponse, screen: Screen, tally: _Tally) -> None:
    tally.count(line, receipt)
    if screen.as_json:  # people are told their number at the end
        screen.show(receipt, receipt_text)


def _refused(
    line: _Line, error: OrderIntakeError, placing: Placing, screen: Screen, tally: _Tally
) -> None:
    """Place the line's order again when there may be room; if that is in vain, note it."""
    seconds = tally.pace.wait(error, line.waits)
    if seconds is None:
        tally.on_way.popleft()
        tally.note(line, error, is_its_own=error is not placing.error)
        return
    if tally.pace.has_to_tell():
        message = f"{error}; waiting for room, {tally}"
        screen.report({"message": message}, Text(message, style="yellow"))
    time.sleep(seconds)
    line.waits += 1
    line.placed = placing.place_message(line.order)


def _size(file: IO[bytes]) -> int | None:
    with suppress(OSError, ValueError):
        return os.fstat(file.fileno()).st_size or None
    return None


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


def _refusal(error: OrderIntakeError, client: Client, tally: _Tally) -> dict[str, Any]:
    """Return the error's data, with the line that it is about."""
    found = explained(error, client)
    if tally.refused and error is tally.error:
        found["line"] = line = tally.refused[0]
        found["message"] = f"line {line}: {found['message']}"
        for bad in found.get("violations", ()):
            bad["line"] = line
    return found


def _exit(screen: Screen, tally: _Tally, found: dict[str, Any], *, code: int) -> NoReturn:
    screen.report(found | tally.data(), error_text(found).append(f"\n{tally}"))
    raise typer.Exit(code)
