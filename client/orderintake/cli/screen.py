"""What a command writes: text for people or lines of JSON for programs, and its exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from google.protobuf.message import Message
from rich.console import Console
from rich.text import Text

from orderintake.cli.access.denied import sentence
from orderintake.cli.json_output import error_json, json_line
from orderintake.cli.text import error_text, printable
from orderintake.errors import (
    DeadlineExceeded,
    NotAllowed,
    OrderIntakeError,
    Unauthenticated,
    Unavailable,
)
from orderintake.reach import advice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from orderintake.sync import Client

_M = TypeVar("_M", bound=Message)

REFUSED = 1
DENIED = 77
USAGE = 2
UNWRITABLE = 74
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13
"""The exit codes: the last two as a shell reports a program that SIGINT or SIGPIPE (13) ended; 74
and 77 as sysexits.h names an error of input or output, and a right that is missing."""


class _Console(Console):
    """A console that leaves a broken pipe to its caller; rich would exit by itself."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Log(logging.Handler):
    """Shows on standard error what the library logs: people are told the ends of outages too."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING if screen.as_json else logging.INFO)
        self._screen = screen
        self._logger = logging.getLogger("orderintake")

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        style = "yellow" if record.levelno >= logging.WARNING else "green"
        self._screen.report({"message": message}, Text(printable(message), style=style))

    def __enter__(self) -> None:
        self._level_before = self._logger.level
        self._logger.addHandler(self)
        self._logger.setLevel(self.level)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level_before)
        self._logger.removeHandler(self)


class Screen:
    """Standard output and error of one command; colored where they are a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        """Show everything as JSON, or for people."""
        self.as_json = as_json
        self.out = _Console(highlight=False)
        self.err = _Console(highlight=False, stderr=True)

    def show(self, message: _M, view: Callable[[_M], RenderableType]) -> None:
        """Show a message on standard output, at once: as one line of JSON, or as `view` has it."""
        if self.as_json:
            print(json_line(message), flush=True)  # noqa: T201 - a command's output
        else:
            self.out.print(view(message), soft_wrap=True)

    def show_data(self, content: dict[str, Any], text: RenderableType) -> None:
        """Show what comes from no message, as `show` does: the data as JSON, or the text."""
        if self.as_json:
            print(json_line(content), flush=True)  # noqa: T201 - as above
        else:
            self.out.print(text, soft_wrap=True)

    def report(self, content: dict[str, Any], text: RenderableType) -> None:
        """Write to standard error, if that works: the data as one line of JSON, or the text."""
        with suppress(OSError):
            if self.as_json:
                print(json_line(content), file=sys.stderr, flush=True)  # noqa: T201 - as above
            else:
                self.err.print(text, soft_wrap=True)

    @contextmanager
    def calls(self, client: Client) -> Iterator[Client]:
        """Open the client for the block; its failures end as in `failures`."""
        with self.failures(client), client:
            yield client

    @contextmanager
    def failures(self, client: Client | None = None) -> Iterator[None]:
        """Report any failure of the block and set the exit code; report warnings meanwhile.

        Where no server answered the client, it is looked why.

        Raises:
            typer.Exit: the service refused, output or input failed, or Ctrl-C ended the block.
            typer.BadParameter: a value fits no field of a message.
        """
        try:
            with _Log(self):
                yield
        except OrderIntakeError as error:
            found = explained(error, client)
            self.report(found, error_text(found))
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            code, found = lost_output(error)
            if code != BROKEN_PIPE:
                self.report(found, error_text(found))
            raise typer.Exit(code) from None
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


def explained(error: OrderIntakeError, client: Client | None) -> dict[str, Any]:
    """Return an error's data; where people can do something, its message says what."""
    found = error_json(error)
    if client and not error.reason and isinstance(error, Unavailable | DeadlineExceeded):
        found["message"] = advice(
            client.target, is_encrypted=client.is_encrypted, told=error.message
        )
    return found | {"message": sentence(error) or found["message"]}


def exit_code(error: OrderIntakeError) -> int:
    """Return the exit code for an error of a call."""
    return DENIED if isinstance(error, Unauthenticated | NotAllowed) else REFUSED


def lost_output(error: OSError) -> tuple[int, dict[str, Any]]:
    """Discard what is still to be written; return the exit code, and what there is to tell."""
    with suppress(OSError, ValueError):  # or it would fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE, {"message": "nobody reads the output any more"}
    what = f"{error.filename}: " if error.filename else "input or output failed: "
    return UNWRITABLE, {"message": f"{what}{error.strerror or error}"}
