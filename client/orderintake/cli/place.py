"""The command `place`: one order from its options, or a file of orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from orderintake.cli.options import ORDER, ExpireTime, Json, NotBefore, TierName, key_and_value
from orderintake.cli.place_file import place_file
from orderintake.cli.screen import REFUSED, Screen, explained
from orderintake.cli.text import error_text, receipt_text
from orderintake.errors import OrderIntakeError
from orderintake.pace import is_definite
from orderintake.requests import REGULAR, VIP, NewOrder
from orderintake.v1.order_pb2 import OrderLine, Tier

if TYPE_CHECKING:
    from orderintake.sync import Client
    from orderintake.v1.order_intake_service_pb2 import PlaceOrderResponse

app = typer.Typer()

Customer = Annotated[
    str | None, typer.Option(metavar="ID", help="Whose order it is.", rich_help_panel=ORDER)
]
Lines = Annotated[
    list[str] | None,
    typer.Option(
        "--line", metavar="SKU[=QTY]", help="What is ordered; repeatable.", rich_help_panel=ORDER
    ),
]
TierOption = Annotated[
    TierName | None,
    typer.Option(help="How urgent it is; regular if not given.", rich_help_panel=ORDER),
]
Vip = Annotated[
    bool, typer.Option("--vip", metavar="", help="The same as --tier vip.", rich_help_panel=ORDER)
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="KEY=VALUE", help="A label; repeatable.", rich_help_panel=ORDER
    ),
]
RequestId = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="With it, repeating the command is harmless.", rich_help_panel=ORDER
    ),
]
File = Annotated[
    typer.FileBinaryRead | None,
    typer.Option(
        metavar="PATH", help="A file of orders, or - for standard input.", rich_help_panel="A file"
    ),
]

_PLACE_HELP = """Place one order, or with --file a whole file of them.

In a file, each line is one order as a JSON object:

`{"customer_id": "ada", "tier": "vip", "lines": [{"sku": "tea", "quantity": 2}]}`

A payload is `{"@type": "type.googleapis.com/NAME", ...}`, opened or with its bytes in base64 as
`"value"`.

They are placed in their order, each for itself, and none waits for the one before. At the first
that is refused the command reads no further, and tells which lines are placed once all have their
answers. While there is no room for one, it waits as the server says. Give each a `"request_id"`,
and the file can be placed again without harm.
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
    if file is not None:
        _refuse_beside_a_file(customer, line, tier, vip, label, request_id, not_before, expire_time)
        with screen.calls(context.obj) as client:
            place_file(client, file, screen)
        return
    order = _order(customer, line, _tier(tier, is_vip=vip), label, request_id)
    order["not_before"], order["expire_time"] = not_before, expire_time
    with screen.calls(context.obj) as client:
        screen.show(_placed(client, order, screen), receipt_text)


def _placed(client: Client, order: NewOrder, screen: Screen) -> PlaceOrderResponse:
    """Place an order; when the answer is lost, tell how to find out."""
    order["request_id"] = order["request_id"] or uuid4().hex
    try:
        return client.place(**order)
    except OrderIntakeError as error:
        if is_definite(error):
            raise
        found = explained(error, client) | {"request_id": order["request_id"]}
        found["message"] += f"; to repeat it safely: --request-id {order['request_id']}"
        screen.report(found, error_text(found))
        raise typer.Exit(REFUSED) from None


def _refuse_beside_a_file(*options: object) -> None:
    if any(options):
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
        labels=dict(map(key_and_value, labels or ())),
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


def _tier(name: TierName | None, *, is_vip: bool) -> Tier.ValueType:
    if is_vip and name is TierName.REGULAR:
        raise typer.BadParameter("contradicts --vip", param_hint="--tier")
    return VIP if is_vip or name is TierName.VIP else REGULAR
