"""The command `watch`: shows completions as they come."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orderintake.checkpoint import FileCheckpoint
from orderintake.cli.options import Json, OnlyCustomer, OnlyTier
from orderintake.cli.screen import INTERRUPTED, Screen
from orderintake.cli.text import completion_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orderintake.sync import Completions

app = typer.Typer()

After = Annotated[str | None, typer.Option(metavar="CURSOR", help="Begin after this cursor.")]
FromLatest = Annotated[
    bool, typer.Option("--from-latest", metavar="", help="Begin with what comes from now on.")
]
Count = Annotated[int | None, typer.Option(min=1, metavar="COMPLETIONS", help="End after so many.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        dir_okay=False,
        help="Keep the cursor in this file, and go on from there the next time.",
    ),
]


@app.command()
def watch(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    *,
    after: After = None,
    from_latest: FromLatest = False,
    customer: OnlyCustomer = None,
    tier: OnlyTier = None,
    checkpoint: CheckpointFile = None,
    count: Count = None,
    as_json: Json = False,
) -> None:
    """Show completions as they come, from the first of all unless told otherwise.

    Goes on by itself when the connection is lost. Ctrl-C shows the cursor to go on --after; with
    --checkpoint the same command goes on there.
    """
    if after is not None and from_latest:
        raise typer.BadParameter("contradicts --after", param_hint="--from-latest")
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        subscription = client.completions(
            after=after,
            from_latest=from_latest,
            customer_id=customer,
            tier=tier and tier.tier,
            checkpoint=FileCheckpoint(checkpoint) if checkpoint else None,
        )
        with subscription as completions:
            _show_completions(completions, count, screen)


def _show_completions(completions: Completions, count: int | None, screen: Screen) -> None:
    with _ended_by_ctrl_c(completions) as is_interrupted:
        cursor = completions.cursor
        for completion in islice(completions, count):
            screen.show(completion, completion_text)
            cursor = completions.cursor
    if is_interrupted():
        screen.report({"cursor": cursor}, Text(f"go on with: orderintake watch --after {cursor}"))
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _ended_by_ctrl_c(completions: Completions) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the iteration between two completions, never within one.

    The cursor then stands exactly after the last one shown. A second Ctrl-C interrupts at once.
    """
    closing = threading.Thread(target=completions.close)

    def close(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        closing.start()  # a thread, since the one that is interrupted may hold a lock it needs

    before = signal.signal(signal.SIGINT, close)
    try:
        yield lambda: closing.ident is not None
    finally:
        signal.signal(signal.SIGINT, before)
