"""The command line: what people type. `main` runs it, or says what is not installed."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper


def main() -> None:
    """Run the command line; exit with 1 where the extra `cli` is not installed."""
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


def _prepare_streams() -> None:
    """Let no character that a terminal lacks, and no stream that is closed, be a traceback."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:  # then writing fails, as on a full disk
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
