"""Orders to place."""

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2


def order(
    sku: str = "tea",
    *,
    vip: bool = False,
    customer_id: str = "ada",
    request_id: str = "",
    labels: dict[str, str] | None = None,
) -> api.PlaceOrderRequest:
    """Make a good order of one line."""
    return api.PlaceOrderRequest(
        customer_id=customer_id,
        request_id=request_id,
        tier=order_pb2.TIER_VIP if vip else order_pb2.TIER_REGULAR,
        lines=[order_pb2.OrderLine(sku=sku, quantity=1)],
        labels=labels,
    )
