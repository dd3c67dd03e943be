"""The command line: what people type. `main` runs it, or says what is not installed."""

import sys


def main() -> None:
    """Run the command line; exit with 1 where the extra `cli` is not installed."""
    try:
        # Not at the top: the library is installed without what the command line needs.
        from orderintake.cli.app import app  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name not in {"rich", "typer"}:
            raise
        sys.exit("orderintake: the command line needs: pip install 'orderintake-client[cli]'")
    app()
