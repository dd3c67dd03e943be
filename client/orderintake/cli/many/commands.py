"""The commands failures, servers, workers and subscribers."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from orderintake.cli.many.options import Codes, OnlyLabels, Since, Until
from orderintake.cli.many.text import (
    counts_text,
    failed_text,
    servers_text,
    subscribers_text,
    workers_text,
)
from orderintake.cli.options import WHICH, Json, OnlyCustomer, OnlyTier, key_and_value
from orderintake.cli.screen import Screen
from orderintake.selections import FailureFilters

app = typer.Typer()

OPERATORS = "For operators"

Redriven = Annotated[
    bool,
    typer.Option(
        "--redriven", metavar="", help="Those too that were redriven.", rich_help_panel=WHICH
    ),
]
NewestFailures = Annotated[
    int,
    typer.Option(
        "--limit", min=1, metavar="ORDERS", help="The newest so many.", rich_help_panel=WHICH
    ),
]


@app.command(rich_help_panel=OPERATORS)
def failures(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    *,
    code: Codes = None,
    customer: OnlyCustomer = None,
    tier: OnlyTier = None,
    labels: OnlyLabels = None,
    since: Since = None,
    until: Until = None,
    redriven: Redriven = False,
    limit: NewestFailures = 20,
    as_json: Json = False,
) -> None:
    """Show orders that failed and wait for somebody, the newest first, and how many by code.

    An order is shown until it is redriven.
    """
    screen = Screen(as_json=as_json)
    wanted = FailureFilters(
        codes=code or (),
        customer_id=customer,
        tier=tier and tier.tier,
        labels=dict(map(key_and_value, labels or ())),
        ended_after=since,
        ended_before=until,
    )
    with screen.calls(context.obj) as client:
        if not as_json:
            page = client.first_failures(include_redriven=redriven, page_size=1, **wanted)
            screen.show(page, counts_text)
        size = min(limit, 1000)
        found = client.failures(include_redriven=redriven, page_size=size, **wanted)
        for failed in islice(found, limit):
            screen.show(failed, failed_text)


@app.command(rich_help_panel=OPERATORS)
def servers(context: typer.Context, *, as_json: Json = False) -> None:
    """Show the servers that use the store, and how the store is doing."""
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        screen.show(client.servers(), servers_text)


@app.command(rich_help_panel=OPERATORS)
def workers(context: typer.Context, *, as_json: Json = False) -> None:
    """Show who processes the orders: servers, and workers in processes of their own."""
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        screen.show(client.workers(), workers_text)


@app.command(rich_help_panel=OPERATORS)
def subscribers(context: typer.Context, *, as_json: Json = False) -> None:
    """Show who reads completions from this server, the furthest behind first."""
    screen = Screen(as_json=as_json)
    with screen.calls(context.obj) as client:
        screen.show(client.subscribers(), subscribers_text)
