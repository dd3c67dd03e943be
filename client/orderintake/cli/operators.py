"""The commands for operators: stats, pause, resume, redrive, actions."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from orderintake.cli.many.moves import move
from orderintake.cli.many.options import (
    All,
    AtOnce,
    Codes,
    OneOrMany,
    OnlyLabels,
    Since,
    Until,
    one_or_many,
)
from orderintake.cli.many.text import redriven_many_text
from orderintake.cli.options import (
    WHICH,
    Json,
    OnlyCustomer,
    OnlyTier,
    TierArgument,
    TierName,
    key_and_value,
)
from orderintake.cli.screen import Screen
from orderintake.cli.stats import follow, stats_table
from orderintake.cli.text import action_text, redriven_text
from orderintake.selections import FailureFilters
from orderintake.v1.order_pb2 import Tier

app = typer.Typer()

OPERATORS = "For operators"

Watch = Annotated[
    bool, typer.Option("--watch", metavar="", help="Go on, each second, until Ctrl-C.")
]


OnlyOrder = Annotated[
    str | None,
    typer.Option(
        "--order",
        metavar="ORDER_ID",
        help="Only what was done to this order.",
        rich_help_panel=WHICH,
    ),
]
NewestActions = Annotated[
    int,
    typer.Option(
        "--limit", min=1, metavar="ACTIONS", help="The newest so many.", rich_help_panel=WHICH
    ),
]


@app.command(rich_help_panel=OPERATORS)
def stats(context: typer.Context, *, watch: Watch = False, as_json: Json = False) -> None:
    """Show how the queue stands."""
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        if watch:
            follow(client, screen)
        else:
            screen.show(client.queue_stats(), stats_table)


@app.command(rich_help_panel=OPERATORS)
def pause(context: typer.Context, tier: TierArgument, *, as_json: Json = False) -> None:
    """Let no order of a tier start until it is resumed.

    Its orders are accepted and wait, also when the server restarts; running ones finish.
    """
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        client.pause_tier(tier.tier)
        _show_paused(screen, tier, is_paused=True)


@app.command(rich_help_panel=OPERATORS)
def resume(context: typer.Context, tier: TierArgument, *, as_json: Json = False) -> None:
    """Let a paused tier start again."""
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        client.resume_tier(tier.tier)
        _show_paused(screen, tier, is_paused=False)


def _show_paused(screen: Screen, tier: TierName, *, is_paused: bool) -> None:
    done = Text("paused  " if is_paused else "resumed  ", style="green").append(tier.value)
    screen.show_data({"tier": Tier.Name(tier.tier), "paused": is_paused}, done)


@app.command(rich_help_panel=OPERATORS)
def redrive(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    order_id: OneOrMany = None,
    *,
    every: All = False,
    code: Codes = None,
    customer: OnlyCustomer = None,
    tier: OnlyTier = None,
    labels: OnlyLabels = None,
    since: Since = None,
    until: Until = None,
    at_once: AtOnce = None,
    as_json: Json = False,
) -> None:
    """Place a copy of an order that failed, was cancelled or expired; or of many that failed.

    Repeating the command is harmless: no order is ever copied twice. Of many, the oldest failure
    comes first; each line tells of orders that were redriven together.
    """
    wanted = FailureFilters(
        codes=code or (),
        customer_id=customer,
        tier=tier and tier.tier,
        labels=dict(map(key_and_value, labels or ())),
        ended_after=since,
        ended_before=until,
    )
    one_or_many(order_id, is_filtered=every or any(wanted.values()))
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        if order_id is not None:
            screen.show(client.redrive(order_id), redriven_text)
            return
        call = partial(client.redrive_orders, all_failures=every, max_orders=at_once or 0, **wanted)
        move(screen, call, lambda response: response.redriven, redriven_many_text)


@app.command(rich_help_panel=OPERATORS)
def actions(
    context: typer.Context,
    *,
    order: OnlyOrder = None,
    limit: NewestActions = 20,
    as_json: Json = False,
) -> None:
    """Show what operators did, the newest first: when, what, and who did it.

    Pauses, resumes, redrives, and cancels of others' orders, as far as they changed something.
    """
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        found = client.operator_actions(order_id=order, page_size=min(limit, 1000))
        for action in islice(found, limit):
            screen.show(action, action_text)
