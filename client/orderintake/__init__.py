"""The Python client of orderintake, the durable, VIP-first order intake over gRPC."""

from importlib.metadata import version

from orderintake.aio import AsyncClient, AsyncCompletions
from orderintake.errors import (
    CompletionGap,
    ContractBroken,
    CursorRejected,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidOrder,
    OrderIntakeError,
    OrderNotFound,
    RequestIdReused,
    Unavailable,
)
from orderintake.requests import REGULAR, VIP, NewOrder
from orderintake.sync import Client, Completions
from orderintake.v1.order_intake_service_pb2 import (
    Durability,
    GetOrderResponse,
    PlaceOrderRequest,
    PlaceOrderResponse,
)
from orderintake.v1.order_pb2 import Completion, Failure, Order, OrderLine, State, Tier

__version__ = version("orderintake-client")

__all__ = [
    "REGULAR",
    "VIP",
    "AsyncClient",
    "AsyncCompletions",
    "Client",
    "Completion",
    "CompletionGap",
    "Completions",
    "ContractBroken",
    "CursorRejected",
    "DeadlineExceeded",
    "Durability",
    "Failure",
    "FieldViolation",
    "GetOrderResponse",
    "InternalError",
    "InvalidOrder",
    "NewOrder",
    "Order",
    "OrderIntakeError",
    "OrderLine",
    "OrderNotFound",
    "PlaceOrderRequest",
    "PlaceOrderResponse",
    "RequestIdReused",
    "State",
    "Tier",
    "Unavailable",
    "__version__",
]
