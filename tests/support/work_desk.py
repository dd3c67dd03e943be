"""What OrderWorkService promises a worker, in memory: orders, leases, and whatever was ended."""

from collections import deque
from dataclasses import dataclass, field

from orderintake.v1 import order_work_service_pb2 as api
from orderintake.v1.order_pb2 import STATE_FAILED, STATE_QUEUED, STATE_SUCCEEDED, Order, State

STATES: dict[str | None, State.ValueType] = {
    "succeeded": STATE_SUCCEEDED,
    "failed": STATE_FAILED,
    "rejected": STATE_FAILED,
    "retry": STATE_QUEUED,
    "returned": STATE_QUEUED,
    None: STATE_QUEUED,
}


@dataclass
class Lease:
    """An order that a worker has."""

    order: str
    worker: str
    call: int
    is_cancelled: bool = False


@dataclass
class WorkDesk:
    """A server's side for workers; every call of it is one durable step.

    An order's name up to the first "-" is its label `do`.
    """

    waiting: deque[str] = field(default_factory=deque)
    leases: dict[str, Lease] = field(default_factory=dict)
    told: dict[str, tuple[str, State.ValueType]] = field(default_factory=dict)
    """What came of each lease that a worker ended: of which order, and its state."""
    attempts: dict[str, int] = field(default_factory=dict)
    outcomes: list[api.Outcome] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    stopping: set[str] = field(default_factory=set)
    kept: list[api.KeepLeasesRequest] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    """Leases that an inventory did not have."""
    starts: int = 0

    def place(self, *orders: str) -> None:
        """Let orders wait."""
        self.waiting.extend(orders)

    def completed(self) -> list[str]:
        """Name the orders that have ended, once for each completion."""
        return [order for order, state in self.told.values() if state != STATE_QUEUED]

    def lease(self, request: api.LeaseOrdersRequest) -> api.LeaseOrdersResponse:
        """Record outcomes; give what this call got before, or else the orders there are."""
        response = api.LeaseOrdersResponse(outcomes=map(self._record, request.outcomes))
        mine = (request.worker_id, request.call)
        again = [key for key, each in self.leases.items() if (each.worker, each.call) == mine]
        if request.worker_id in self.ended | self.stopping:
            return response
        if not (again and request.call):
            again = [self._start(request) for _ in range(min(request.slots, len(self.waiting)))]
        for key in again:
            order = self.leases[key].order
            found = Order(
                order_id=order,
                customer_id="ada",
                attempt_count=self.attempts.get(order, 0) + 1,
                labels={"do": order.partition("-")[0]},
            )
            response.orders.add(lease=key, order=found)
        return response

    def _start(self, request: api.LeaseOrdersRequest) -> str:
        self.starts += 1
        key = f"lease-{self.starts}"
        self.leases[key] = Lease(self.waiting.popleft(), request.worker_id, request.call)
        return key

    def _record(self, outcome: api.Outcome) -> api.OutcomeStatus:
        kind = outcome.WhichOneof("outcome")
        if lease := self.leases.pop(outcome.lease, None):
            self.outcomes.append(outcome)
            self.told[outcome.lease] = (lease.order, STATES[kind])
            if STATES[kind] == STATE_QUEUED:
                self.waiting.appendleft(lease.order)
            if kind not in {"returned", None}:
                self.attempts[lease.order] = self.attempts.get(lease.order, 0) + 1
        if outcome.lease not in self.told:
            return api.OutcomeStatus(result=api.OUTCOME_RESULT_LEASE_LOST)
        state = self.told[outcome.lease][1]
        return api.OutcomeStatus(result=api.OUTCOME_RESULT_RECORDED, state=state)

    def keep(self, request: api.KeepLeasesRequest) -> api.KeepLeasesResponse:
        """Take back what the worker does not have; tell what to stop, and what is lost."""
        self.kept.append(request)
        if request.stopping:
            self.stopping.add(request.worker_id)
        had = request.inventory
        mine = {key: each for key, each in self.leases.items() if each.worker == request.worker_id}
        for key, each in mine.items():
            is_known = key in had.held or each.call in had.open_calls
            if request.HasField("inventory") and 0 < each.call <= had.last_call and not is_known:
                self.taken_back.append(key)
                self.take_back(key)
        stops = [key for key, each in mine.items() if each.is_cancelled and key in self.leases]
        return api.KeepLeasesResponse(
            stops=[key for key in stops if key not in request.stops_heard],
            lost=[key for key in had.held if key not in self.leases and key not in self.told],
        )

    def take_back(self, key: str) -> None:
        """End a lease; its order waits again."""
        self.waiting.appendleft(self.leases.pop(key).order)

    def end(self, worker: str) -> int:
        """End a worker: what it has waits again."""
        self.ended.add(worker)
        had = [key for key, each in self.leases.items() if each.worker == worker]
        for key in had:
            self.take_back(key)
        return len(had)

    def cancel(self, order: str) -> None:
        """Ask for the cancel of an order that is leased."""
        for lease in self.leases.values():
            lease.is_cancelled |= lease.order == order
