"""The commands about orders that were placed: get, cancel, list."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from orderintake.cli.many.moves import move
from orderintake.cli.many.options import (
    All,
    OneOrMany,
    OnlyLabels,
    Since,
    Until,
    one_or_many,
)
from orderintake.cli.many.text import cancelled_many_text
from orderintake.cli.options import (
    WHICH,
    Json,
    Limit,
    OnlyCustomer,
    OnlyState,
    OnlyTier,
    key_and_value,
)
from orderintake.cli.screen import REFUSED, Screen
from orderintake.cli.tables import standing_table
from orderintake.cli.text import cancel_text, listed_text
from orderintake.errors import OrderNotFound
from orderintake.selections import WaitingFilters
from orderintake.v1.order_intake_service_pb2 import CANCEL_OUTCOME_TOO_LATE
from orderintake.v1.order_pb2 import STATE_FAILED

if TYPE_CHECKING:
    from orderintake.sync import Client
    from orderintake.v1.order_pb2 import Completion, Order

app = typer.Typer()

OneOrderId = Annotated[
    str | None, typer.Argument(metavar="ORDER_ID", help="The order_id of its receipt.")
]
Newest = Annotated[
    bool,
    typer.Option(
        "--newest",
        metavar="",
        help="The newest first, 100 unless --limit says otherwise.",
        rich_help_panel=WHICH,
    ),
]
Number = Annotated[
    int | None,
    typer.Option(min=1, metavar="NUMBER", help="Its accept_sequence, instead of its order_id."),
]

_PAGE_SIZE = 1000
_NEWEST = 100
"""How many of the newest orders are shown, unless told otherwise."""


@app.command()
def get(
    context: typer.Context,
    order_id: OneOrderId = None,
    *,
    number: Number = None,
    as_json: Json = False,
) -> None:
    """Show how an order stands, and what came of it: by its order_id, or by its number."""
    if (order_id is None) == (number is None):
        raise typer.BadParameter("give either an ORDER_ID or --number")
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        screen.show(client.get(order_id, accept_sequence=number), standing_table)


@app.command()
def cancel(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    order_id: OneOrMany = None,
    *,
    every: All = False,
    customer: OnlyCustomer = None,
    tier: OnlyTier = None,
    labels: OnlyLabels = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Cancel an order, and show what becomes of it; or, for operators, many that wait.

    Of one, exits with 1 when it is too late: the order had ended otherwise. Of many, those that
    are in process go on; each line tells of up to 1000 orders, which were cancelled together.
    """
    wanted = WaitingFilters(
        customer_id=customer,
        tier=tier and tier.tier,
        labels=dict(map(key_and_value, labels or ())),
        accepted_after=since,
        accepted_before=until,
    )
    one_or_many(order_id, is_filtered=every or any(wanted.values()))
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        if order_id is None:
            call = partial(client.cancel_orders, all_waiting=every, **wanted)
            move(screen, call, lambda response: response.cancelled, cancelled_many_text)
            return
        response = client.cancel(order_id)
        screen.show(response, cancel_text)
    if response.outcome == CANCEL_OUTCOME_TOO_LATE:
        raise typer.Exit(REFUSED)


@app.command("list")
def list_orders(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    *,
    customer: OnlyCustomer = None,
    tier: OnlyTier = None,
    state: OnlyState = None,
    newest: Newest = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show orders, oldest first unless told otherwise: all of them, or those that match.

    Each with the time when it was accepted, how often it was tried, and why it failed.
    """
    screen = Screen(as_json=as_json)
    limit = limit or (_NEWEST if newest else None)
    with screen.calls(context.obj) as client:
        orders = client.orders(
            customer_id=customer,
            tier=tier and tier.tier,
            state=state and state.state,
            newest_first=newest,
            page_size=min(limit or _PAGE_SIZE, _PAGE_SIZE),
        )
        for order in islice(orders, limit):
            failed = _failed(client, order) if not as_json else None
            screen.show(order, partial(listed_text, completion=failed))


def _failed(client: Client, order: Order) -> Completion | None:
    """Ask for the completion of an order that failed, in which the reason stands."""
    if order.state != STATE_FAILED:
        return None
    try:
        return client.get(order.order_id).completion
    except OrderNotFound:  # forgotten meanwhile
        return None
