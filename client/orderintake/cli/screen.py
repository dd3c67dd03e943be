"""What a command writes: text for people or lines of JSON for programs, and its exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from google.protobuf.message import Message
from rich.console import Console

from orderintake.cli.json_output import error_json, json_line
from orderintake.cli.text import error_text
from orderintake.errors import OrderIntakeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

_M = TypeVar("_M", bound=Message)

REFUSED = 1
USAGE = 2
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13
"""The exit codes: as a shell reports a program that SIGINT or SIGPIPE (13) ended."""


class _Console(Console):
    """A console that leaves a broken pipe to its caller; rich would exit by itself."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Log(logging.Handler):
    """Shows what the library logs on standard error."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        content = {"message": record.getMessage()}
        self._screen.report(content, error_text(content))


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
        """Write to standard error: the data as one line of JSON, or the text."""
        if self.as_json:
            print(json_line(content), file=sys.stderr, flush=True)  # noqa: T201 - as above
        else:
            self.err.print(text, soft_wrap=True)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Report a failure of the block and set the exit code; report warnings meanwhile.

        Raises:
            typer.Exit: the service refused, or Ctrl-C or a broken pipe ended the block.
        """
        log = _Log(self)
        logging.getLogger("orderintake").addHandler(log)
        try:
            yield
        except OrderIntakeError as error:
            found = error_json(error)
            self.report(found, error_text(found))
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(BROKEN_PIPE) from None
        finally:
            logging.getLogger("orderintake").removeHandler(log)


def _drop_output() -> None:
    """Discard what is still buffered, which would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
