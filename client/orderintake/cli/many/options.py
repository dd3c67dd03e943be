"""The options that say which of many orders are meant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from orderintake.cli.options import WHICH
from orderintake.cli.times import from_past_text
from orderintake.times import aware


def _time(text: str) -> datetime:
    try:
        return aware("it", from_past_text(text), now=datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Codes = Annotated[
    list[str] | None,
    typer.Option(
        "--code", metavar="CODE", help="Only failures with this code.", rich_help_panel=WHICH
    ),
]
OnlyLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="KEY=VALUE", help="Only with this label.", rich_help_panel=WHICH
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once",
        min=1,
        max=1000,
        metavar="ORDERS",
        help="So many by one commit, all or none: fewer where limits of the queue refuse more.",
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_time,
        metavar="TIME",
        help="Only from then on: RFC 3339, or so long ago, such as 1d2h30m.",
        rich_help_panel=WHICH,
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=_time, metavar="TIME", help="Only before then.", rich_help_panel=WHICH),
]
All = Annotated[bool, typer.Option("--all", metavar="", help="All of them.", rich_help_panel=WHICH)]
"""So that nobody means all of them by an option forgotten."""
OneOrMany = Annotated[
    str | None,
    typer.Argument(metavar="[ORDER_ID]", help="The order_id of its receipt; or say which ones."),
]


def one_or_many(order_id: str | None, *, is_filtered: bool) -> None:
    """Raise typer.BadParameter unless one order is named, or it is said which ones."""
    if (order_id is None) is not is_filtered:
        raise typer.BadParameter("give either an ORDER_ID, or --all, or which of them")
