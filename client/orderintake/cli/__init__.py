"""The command line: what people type. `main` runs it, or says what is not installed."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from orderintake.access.given import VALUES

WORKER = "worker"
"""The one command that needs no extra: it runs on machines where nobody types."""


def main() -> None:
    """Run the command line; exit with 1 where the extra `cli` is not installed."""
    arguments = sys.argv[1:]
    if (place := _command(arguments)) is not None and arguments[place] == WORKER:
        from orderintake.work.command.run import main as work  # noqa: PLC0415 - few need it

        work([*arguments[:place], *arguments[place + 1 :]])
    try:
        # Not at the top: the library is installed without what the command line needs.
        from orderintake.cli.app import app  # noqa: PLC0415
        from orderintake.cli.screen import lost_output  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name not in {"rich", "typer"}:
            raise
        sys.exit("orderintake: the command line needs: pip install 'orderintake-client[cli]'")
    _prepare_streams()
    try:
        app()
    except OSError as error:  # from what stands outside the commands: --help, --version
        code, found = lost_output(error)
        with suppress(OSError):
            print(f"orderintake: {found['message']}", file=sys.stderr)  # noqa: T201 - for people
        sys.exit(code)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer ends with 1 then
            sys.exit(lost_output(end.__context__)[0])
        raise


def _command(arguments: list[str]) -> int | None:
    """Tell where the command's name stands: before it are options of the connection only."""
    is_value = False
    for place, argument in enumerate(arguments):
        if not (is_value or argument.startswith("-")):
            return place
        is_value = not is_value and argument in VALUES
    return None


def _prepare_streams() -> None:
    """Let no character that a terminal lacks, and no stream that is closed, be a traceback."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:  # then writing fails, as on a full disk
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
