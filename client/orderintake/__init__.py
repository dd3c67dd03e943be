"""The Python client of orderintake, the durable, VIP-first order intake over gRPC."""

from importlib.metadata import version

from orderintake.aio import AsyncClient, AsyncCompletions, AsyncPlacing
from orderintake.checkpoint import Checkpoint, FileCheckpoint
from orderintake.errors import (
    CompletionGap,
    ContractBroken,
    CursorExpired,
    CursorRejected,
    CustomerQuota,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidOrder,
    NotAllowed,
    OrderIntakeError,
    OrderNotFound,
    OrderNotRedrivable,
    RequestIdReused,
    SubscriberTooSlow,
    TooManyStreams,
    Unauthenticated,
    Unavailable,
)
from orderintake.requests import REGULAR, VIP, NewOrder
from orderintake.selections import FailureFilters, WaitingFilters
from orderintake.streams.subscription import Batch
from orderintake.sync import Client, Completions, Placing
from orderintake.v1.order_admin_service_pb2 import (
    CancelOrdersResponse,
    FailedOrder,
    GetQueueStatsResponse,
    ListFailuresResponse,
    ListServersResponse,
    ListSubscribersResponse,
    OperatorAction,
    RedriveOrderResponse,
    RedriveOrdersResponse,
    TierStats,
)
from orderintake.v1.order_intake_service_pb2 import (
    CancelOrderResponse,
    CancelOutcome,
    Durability,
    GetOrderResponse,
    PlaceOrderRequest,
    PlaceOrderResponse,
    WaitReason,
)
from orderintake.v1.order_pb2 import Completion, Failure, Order, OrderLine, State, Tier
from orderintake.work.remote.worker import Worker

__version__ = version("orderintake-client")

__all__ = [
    "REGULAR",
    "VIP",
    "AsyncClient",
    "AsyncCompletions",
    "AsyncPlacing",
    "Batch",
    "CancelOrderResponse",
    "CancelOrdersResponse",
    "CancelOutcome",
    "Checkpoint",
    "Client",
    "Completion",
    "CompletionGap",
    "Completions",
    "ContractBroken",
    "CursorExpired",
    "CursorRejected",
    "CustomerQuota",
    "DeadlineExceeded",
    "Durability",
    "FailedOrder",
    "Failure",
    "FailureFilters",
    "FieldViolation",
    "FileCheckpoint",
    "GetOrderResponse",
    "GetQueueStatsResponse",
    "InternalError",
    "InvalidOrder",
    "ListFailuresResponse",
    "ListServersResponse",
    "ListSubscribersResponse",
    "NewOrder",
    "NotAllowed",
    "OperatorAction",
    "Order",
    "OrderIntakeError",
    "OrderLine",
    "OrderNotFound",
    "OrderNotRedrivable",
    "PlaceOrderRequest",
    "PlaceOrderResponse",
    "Placing",
    "RedriveOrderResponse",
    "RedriveOrdersResponse",
    "RequestIdReused",
    "State",
    "SubscriberTooSlow",
    "Tier",
    "TierStats",
    "TooManyStreams",
    "Unauthenticated",
    "Unavailable",
    "WaitReason",
    "WaitingFilters",
    "Worker",
    "__version__",
]
