"""The commands about orders that were placed: get, cancel, list."""

from __future__ import annotations

from itertools import islice

import typer

from orderintake.cli.options import (
    Json,
    Limit,
    OnlyCustomer,
    OnlyState,
    OnlyTier,
    OrderId,
    usage_errors,
)
from orderintake.cli.screen import REFUSED, Screen
from orderintake.cli.tables import standing_table
from orderintake.cli.text import cancel_text, order_text
from orderintake.v1.order_intake_service_pb2 import CANCEL_OUTCOME_TOO_LATE

app = typer.Typer()

_PAGE_SIZE = 1000


@app.command()
def get(context: typer.Context, order_id: OrderId, *, as_json: Json = False) -> None:
    """Show how an order stands."""
    screen = Screen(as_json=as_json)
    with screen.failures(), usage_errors(), context.obj as client:
        screen.show(client.get(order_id), standing_table)


@app.command()
def cancel(context: typer.Context, order_id: OrderId, *, as_json: Json = False) -> None:
    """Cancel an order, and show what becomes of it.

    Exits with 1 when it is too late: the order had ended otherwise.
    """
    screen = Screen(as_json=as_json)
    with screen.failures(), usage_errors(), context.obj as client:
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
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show orders, oldest first: all of them, or those that match."""
    screen = Screen(as_json=as_json)
    with screen.failures(), usage_errors(), context.obj as client:
        orders = client.orders(
            customer_id=customer,
            tier=tier and tier.tier,
            state=state and state.state,
            page_size=min(limit or _PAGE_SIZE, _PAGE_SIZE),
        )
        for order in islice(orders, limit):
            screen.show(order, order_text)
