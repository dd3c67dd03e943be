"""The commands of `orderintake`: place, get, cancel, list, watch; the operators' beside them."""

from __future__ import annotations

from importlib.metadata import version
from itertools import islice
from typing import Annotated

import typer

from orderintake.channel import TIMEOUT_SECONDS
from orderintake.operating import app as operating
from orderintake.options import (
    ExpireTime,
    Json,
    Limit,
    NotBefore,
    OnlyCustomer,
    OnlyState,
    OnlyTier,
    OrderId,
    TierName,
    usage,
)
from orderintake.placing import place_file
from orderintake.rendering import (
    cancel_text,
    order_text,
    receipt_text,
    standing_table,
)
from orderintake.requests import REGULAR, VIP, NewOrder
from orderintake.screen import REFUSED, Screen
from orderintake.sync import Client
from orderintake.v1.order_intake_service_pb2 import CANCEL_OUTCOME_TOO_LATE
from orderintake.v1.order_pb2 import OrderLine, Tier
from orderintake.watching import app as watching

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(operating)
app.add_typer(watching)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - so typer calls it
    if asked:
        typer.echo(f"orderintake {version('orderintake-client')}")
        raise typer.Exit


Server = Annotated[
    str, typer.Option(envvar="ORDERINTAKE_SERVER", metavar="HOST:PORT", help="Where to connect.")
]
Timeout = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="How long a call may last.")
]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]
Customer = Annotated[str | None, typer.Option(metavar="ID", help="Whose order it is.")]
Lines = Annotated[
    list[str] | None,
    typer.Option("--line", metavar="SKU[=QTY]", help="What is ordered; repeatable."),
]
TierOption = Annotated[
    TierName | None, typer.Option(help="How urgent it is; regular if not given.")
]
Vip = Annotated[bool, typer.Option("--vip", help="The same as --tier vip.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label; repeatable.")
]
RequestId = Annotated[
    str | None, typer.Option(metavar="ID", help="With it, repeating the command is harmless.")
]
File = Annotated[
    typer.FileBinaryRead | None,
    typer.Option(metavar="PATH", help="A file of orders, or - for standard input."),
]
_PAGE_SIZE = 1000


@app.callback()
def connect(
    context: typer.Context,
    *,
    server: Server = "127.0.0.1:50051",
    timeout: Timeout = TIMEOUT_SECONDS,
    _version: Version = False,
) -> None:
    """Place orders, see how they stand, and watch them being completed.

    Exit codes: 0, done; 1, the server refused or cannot be reached; 2, the command or an input
    line is wrong; 130, ended by Ctrl-C.
    """
    context.obj = Client(server, timeout=timeout)


_PLACE_HELP = """Place one order, or with --file a whole file of them.

In a file, each line is one order as a JSON object:

`{"customer_id": "ada", "tier": "TIER_VIP", "lines": [{"sku": "tea", "quantity": 2}]}`

They are placed up to 1000 at a time, all of them or none. Give each a `"request_id"`, and the file
can be placed again without harm.
"""


@app.command(help=_PLACE_HELP)
def place(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    *,
    customer: Customer = None,
    line: Lines = None,
    tier: TierOption = None,
    vip: Vip = False,
    label: Labels = None,
    request_id: RequestId = None,
    not_before: NotBefore = None,
    expire_time: ExpireTime = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Place one order, or with --file a whole file of them."""
    screen = Screen(as_json=as_json)
    if file is None:
        order = _order(customer, line, _tier(tier, is_vip=vip), label, request_id)
        order["not_before"], order["expire_time"] = not_before, expire_time
        with screen.failures(), usage(), context.obj as client:
            screen.show(client.place(**order), receipt_text)
    else:
        _check_alone((customer, line, tier, vip, label, request_id, not_before, expire_time))
        with screen.failures(), context.obj as client:
            place_file(client, file, screen)


def _check_alone(others: tuple[object, ...]) -> None:
    if any(others):
        raise typer.BadParameter("its lines say all of an order themselves", param_hint="--file")


def _order(
    customer: str | None,
    lines: list[str] | None,
    tier: Tier.ValueType,
    labels: list[str] | None,
    request_id: str | None,
) -> NewOrder:
    if customer is None or not lines:
        raise typer.BadParameter("give --customer and --line, or --file")
    return NewOrder(
        customer_id=customer,
        lines=[_order_line(line) for line in lines],
        tier=tier,
        labels=dict(_label(label) for label in labels or ()),
        request_id=request_id,
    )


def _order_line(text: str) -> OrderLine:
    sku, equals, quantity = text.rpartition("=")
    try:
        return (
            OrderLine(sku=sku, quantity=int(quantity))
            if equals
            else OrderLine(sku=text, quantity=1)
        )
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not SKU or SKU=QTY", param_hint="--line") from None


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
    return key, value


def _tier(name: TierName | None, *, is_vip: bool) -> Tier.ValueType:
    if is_vip and name is TierName.REGULAR:
        raise typer.BadParameter("contradicts --vip", param_hint="--tier")
    return VIP if is_vip or name is TierName.VIP else REGULAR


@app.command()
def get(context: typer.Context, order_id: OrderId, *, as_json: Json = False) -> None:
    """Show how an order stands."""
    screen = Screen(as_json=as_json)
    with screen.failures(), usage(), context.obj as client:
        screen.show(client.get(order_id), standing_table)


@app.command()
def cancel(context: typer.Context, order_id: OrderId, *, as_json: Json = False) -> None:
    """Cancel an order, and show what becomes of it.

    Exits with 1 when it is too late: the order had ended otherwise.
    """
    screen = Screen(as_json=as_json)
    with screen.failures(), usage(), context.obj as client:
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
    with screen.failures(), usage(), context.obj as client:
        orders = client.orders(
            customer_id=customer,
            tier=tier and tier.tier,
            state=state and state.state,
            page_size=min(limit or _PAGE_SIZE, _PAGE_SIZE),
        )
        for order in islice(orders, limit):
            screen.show(order, order_text)
