"""What workers are told, built from the domain's types; orders are joined from what is encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.api.encoding import Encoder, embedded, set_time
from orderintake_server.holders import key_of
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orderintake_server.domain import Lease, State
    from orderintake_server.holders import LeaseKey
    from orderintake_server.ids import Ids
    from orderintake_server.work.seen import WorkerSeen
    from orderintake_server.work.words import Leased, News

_ORDERS = work.LeaseOrdersResponse.ORDERS_FIELD_NUMBER
_ORDER = work.LeasedOrder.ORDER_FIELD_NUMBER
SHOWN_WORKERS, SHOWN_ATTEMPTS = 500, 64
"""So many take two MiB at the most."""


class WorkResponses:
    """Builds the answers, with the ids of one store."""

    def __init__(self, ids: Ids, *, attempt_seconds: float | None) -> None:
        """Write ids with `ids`; an attempt may take `attempt_seconds`, None: any time."""
        self._ids = ids
        self._encoder = Encoder(ids)
        self._attempt_seconds = attempt_seconds

    def leased(self, leased: Leased, seconds: Callable[[Lease], float]) -> bytes:
        """Return a LeaseOrdersResponse, encoded; `seconds` tells how long ago an attempt began."""
        rest = work.LeaseOrdersResponse(
            outcomes=map(_status, leased.states),
            signal=_signal(is_going_away=leased.is_going_away),
        )
        orders = [embedded(_ORDERS, self._order(lease, seconds)) for lease in leased.leases]
        return rest.SerializeToString() + b"".join(orders)

    def _order(self, lease: Lease, seconds: Callable[[Lease], float]) -> bytes:
        order = lease.order
        own = work.LeasedOrder(lease=self._ids.lease(key_of(lease)))
        if self._attempt_seconds is not None:
            left = max(self._attempt_seconds - seconds(lease), 0.0)
            own.attempt_timeout.FromMicroseconds(round(left * 1e6))
        if order.trace is not None:
            own.traceparent = traces.written(order.trace)
        return own.SerializeToString() + embedded(_ORDER, self._encoder.order(order))

    def news(self, news: News) -> work.KeepLeasesResponse:
        """Return a KeepLeasesResponse."""
        response = work.KeepLeasesResponse(
            stops=self._leases(news.stops),
            lost=self._leases(news.lost),
            signal=_signal(is_going_away=news.is_going_away),
        )
        response.keeps.FromMicroseconds(round(news.keeps * 1e6))
        return response

    def _leases(self, keys: Iterable[LeaseKey]) -> list[str]:
        return [self._ids.lease(key) for key in keys]

    def workers(self, seen: list[WorkerSeen]) -> admin.ListWorkersResponse:
        """Return a ListWorkersResponse; those that are known for longest are shown first."""
        shown = sorted(seen, key=lambda worker: worker.since)[:SHOWN_WORKERS]
        return admin.ListWorkersResponse(workers=map(self._worker, shown), total=len(seen))

    def _worker(self, seen: WorkerSeen) -> admin.Worker:
        message = admin.Worker(
            name=seen.name,
            kind=admin.WorkerKind.ValueType(seen.kind),
            worker_id=seen.worker_id,
            capacity=seen.capacity,
            busy=seen.busy,
            stopping=seen.is_stopping,
        )
        set_time(message.start_time, seen.since)
        if seen.heard:
            set_time(message.heartbeat_time, seen.heard)
        for accept_sequence, start_time in seen.attempts[:SHOWN_ATTEMPTS]:
            attempt = message.attempts.add(order_id=self._ids.order_id(accept_sequence))
            set_time(attempt.start_time, start_time)
        return message


def _status(state: State | None) -> work.OutcomeStatus:
    if state is None:
        return work.OutcomeStatus(result=work.OUTCOME_RESULT_LEASE_LOST)
    return work.OutcomeStatus(
        result=work.OUTCOME_RESULT_RECORDED, state=order_pb2.State.ValueType(state)
    )


def _signal(*, is_going_away: bool) -> work.WorkSignal.ValueType:
    return work.WORK_SIGNAL_GOING_AWAY if is_going_away else work.WORK_SIGNAL_UNSPECIFIED
