"""The arguments and options that commands share, and how they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from orderintake.cli.times import from_text
from orderintake.times import aware
from orderintake.v1.order_pb2 import State, Tier

ORDER, WHICH, OUTPUT = "The order", "Which of them", "Output"
"""Under which headings `--help` shows options."""


class TierName(Enum):
    """The tiers, as people type them."""

    REGULAR = "regular"
    VIP = "vip"

    @property
    def tier(self) -> Tier.ValueType:
        """The same tier in the contract."""
        return Tier.Value(f"TIER_{self.name}")


class StateName(Enum):
    """The states, as people type them."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def state(self) -> State.ValueType:
        """The same state in the contract."""
        return State.Value(f"STATE_{self.name}")


def key_and_value(text: str) -> tuple[str, str]:
    """Read a label as people type it. Raises typer.BadParameter."""
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
    return key, value


def _time(text: str) -> datetime:
    try:
        return aware("it", from_text(text), now=datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Json = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Show JSON, one object a line.", rich_help_panel=OUTPUT
    ),
]
TierArgument = Annotated[TierName, typer.Argument(help="Which tier.")]
OnlyCustomer = Annotated[
    str | None,
    typer.Option("--customer", metavar="ID", help="Only this customer's.", rich_help_panel=WHICH),
]
OnlyTier = Annotated[
    TierName | None, typer.Option("--tier", help="Only this tier's.", rich_help_panel=WHICH)
]
OnlyState = Annotated[
    StateName | None,
    typer.Option("--state", help="Only those in this state.", rich_help_panel=WHICH),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="ORDERS", help="End after so many.", rich_help_panel=WHICH),
]
NotBefore = Annotated[
    datetime | None,
    typer.Option(
        parser=_time,
        metavar="TIME",
        help="It starts no earlier: RFC 3339, or from now, such as +1d2h30m10s.",
        rich_help_panel=ORDER,
    ),
]
ExpireTime = Annotated[
    datetime | None,
    typer.Option(
        parser=_time,
        metavar="TIME",
        help="If it has not started by then, it expires.",
        rich_help_panel=ORDER,
    ),
]
