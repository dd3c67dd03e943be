"""The table of methods: one row for each RPC of the contract, used by every transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message_factory import GetMessageClass

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.access import Role
from orderintake_server.api.access import Rule, Tenant
from orderintake_server.api.endpoints import Endpoints
from orderintake_server.api.work.endpoints import WorkEndpoints
from orderintake_server.errors import StartupFailed
from orderintake_server.metrics import CALL, PLACING, SUBSCRIPTION, WAITING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

    from orderintake_server.api.access import Call
    from orderintake_server.metrics import Meter

    Answer = Callable[[Any, Call], Awaitable[Message | bytes]]
    """Answers a request, or an async iterator of requests, with one message, or its bytes."""
    Stream = Callable[[Any, Call], AsyncIterator[Message | bytes]]
    """Answers the same with a stream: of messages, or of encoded messages."""

SERVICES: tuple[ServiceDescriptor, ...] = (
    api.DESCRIPTOR.services_by_name["OrderIntakeService"],
    admin.DESCRIPTOR.services_by_name["OrderAdminService"],
    work.DESCRIPTOR.services_by_name["OrderWorkService"],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the service adds to a method's descriptor, which has its messages and its shape.

    `endpoint` is a method of Endpoints or of WorkEndpoints. Whatever else must be defined for every
    method goes here, as a field without a default: who may call it, whose orders it shows, what is
    measured.
    """

    endpoint: Callable[..., Any]
    rule: Rule
    meter: Meter


_OWN = frozenset({Role.CUSTOMER})
_SEE = frozenset({Role.OPERATOR, Role.OBSERVER})
_READ_LOG = _SEE | {Role.SUBSCRIBER}
_OPERATE = frozenset({Role.OPERATOR})
_WORK = frozenset({Role.WORKER})

TABLE: Mapping[str, Row] = {
    "orderintake.v1.OrderIntakeService.PlaceOrder": Row(
        endpoint=Endpoints.place_order,
        rule=Rule(own=_OWN, tenant=Tenant.REQUEST),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.BatchPlaceOrders": Row(
        endpoint=Endpoints.batch_place_orders,
        rule=Rule(own=_OWN, tenant=Tenant.REQUEST),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.PlaceOrders": Row(
        endpoint=Endpoints.place_orders,
        rule=Rule(own=_OWN, tenant=Tenant.REQUEST),
        meter=PLACING,
    ),
    "orderintake.v1.OrderIntakeService.GetOrder": Row(
        endpoint=Endpoints.get_order,
        rule=Rule(own=_OWN, all=_SEE, tenant=Tenant.ORDER),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.ListOrders": Row(
        endpoint=Endpoints.list_orders,
        rule=Rule(own=_OWN, all=_SEE, tenant=Tenant.FILTER),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.CancelOrder": Row(
        endpoint=Endpoints.cancel_order,
        rule=Rule(own=_OWN, all=_OPERATE, tenant=Tenant.ORDER),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.ListCompletions": Row(
        endpoint=Endpoints.list_completions,
        rule=Rule(own=_OWN, all=_READ_LOG, tenant=Tenant.FILTER),
        meter=CALL,
    ),
    "orderintake.v1.OrderIntakeService.StreamCompletions": Row(
        endpoint=Endpoints.stream_completions,
        rule=Rule(own=_OWN, all=_READ_LOG, tenant=Tenant.FILTER),
        meter=SUBSCRIPTION,
    ),
    "orderintake.v1.OrderAdminService.GetQueueStats": Row(
        endpoint=Endpoints.get_queue_stats,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.PauseTier": Row(
        endpoint=Endpoints.pause_tier,
        rule=Rule(all=_OPERATE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ResumeTier": Row(
        endpoint=Endpoints.resume_tier,
        rule=Rule(all=_OPERATE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.RedriveOrder": Row(
        endpoint=Endpoints.redrive_order,
        rule=Rule(all=_OPERATE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ListOperatorActions": Row(
        endpoint=Endpoints.list_operator_actions,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ListFailures": Row(
        endpoint=Endpoints.list_failures,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.RedriveOrders": Row(
        endpoint=Endpoints.redrive_orders,
        rule=Rule(all=_OPERATE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.CancelOrders": Row(
        endpoint=Endpoints.cancel_orders,
        rule=Rule(all=_OPERATE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ListServers": Row(
        endpoint=Endpoints.list_servers,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ListSubscribers": Row(
        endpoint=Endpoints.list_subscribers,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderAdminService.ListWorkers": Row(
        endpoint=WorkEndpoints.list_workers,
        rule=Rule(all=_SEE, tenant=Tenant.NONE),
        meter=CALL,
    ),
    "orderintake.v1.OrderWorkService.LeaseOrders": Row(
        endpoint=WorkEndpoints.lease_orders,
        rule=Rule(all=_WORK, tenant=Tenant.NONE),
        meter=WAITING,
    ),
    "orderintake.v1.OrderWorkService.KeepLeases": Row(
        endpoint=WorkEndpoints.keep_leases,
        rule=Rule(all=_WORK, tenant=Tenant.NONE),
        meter=WAITING,
    ),
    "orderintake.v1.OrderWorkService.EndWorker": Row(
        endpoint=WorkEndpoints.end_worker,
        rule=Rule(all=_WORK, tenant=Tenant.NONE),
        meter=CALL,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method as a transport needs it: its path, its messages, its shape, and its endpoint."""

    path: str
    """The path in gRPC and Connect: /package.Service/Method."""
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    gives_stream: bool
    is_safe: bool
    """Whether it only reads, as the contract says: it may be repeated, and asked for by GET."""
    rule: Rule
    meter: Meter
    endpoint: Answer | Stream
    """A Stream when `gives_stream`, otherwise an Answer."""


def bound(
    *endpoints: object,
    services: Sequence[ServiceDescriptor] = SERVICES,
    table: Mapping[str, Row] = TABLE,
) -> tuple[Method, ...]:
    """Return every method of the services, bound to these endpoints.

    Raises StartupFailed unless the table has exactly one row for each of them and no other row: a
    method that nobody has thought about is not served. Nor is a stream that is timed as a call, or
    a call that is not.
    """
    methods = {method.full_name: method for service in services for method in service.methods}
    if methods.keys() != table.keys():
        differences = ", ".join(sorted(methods.keys() ^ table.keys()))
        raise StartupFailed(f"the contract and the table of methods differ in: {differences}")
    for name, row in table.items():
        if row.meter.is_timed is methods[name].server_streaming:
            raise StartupFailed(f"the meter of {name} is not for its kind of method")
    return tuple(_bound(methods[name], row, endpoints) for name, row in table.items())


def _bound(method: MethodDescriptor, row: Row, endpoints: Sequence[object]) -> Method:
    name = row.endpoint.__name__
    owner = next(one for one in endpoints if vars(type(one)).get(name) is row.endpoint)
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        takes_stream=method.client_streaming,
        gives_stream=method.server_streaming,
        is_safe=method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        rule=row.rule,
        meter=row.meter,
        endpoint=row.endpoint.__get__(owner),
    )
