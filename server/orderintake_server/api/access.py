"""Who may call a method, and whose orders it then sees or changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from orderintake.v1 import order_pb2
from orderintake_server.access import EVERYBODY, Role
from orderintake_server.domain import Operator
from orderintake_server.errors import NotAllowed
from orderintake_server.telemetry.spans import NO_SPAN
from orderintake_server.texts import escaped
from orderintake_server.views import Reader, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orderintake.v1 import order_intake_service_pb2 as api
    from orderintake_server.access import Caller
    from orderintake_server.telemetry.spans import Span


NAME_CHARACTERS = 256
"""Of a caller's name, and of its address, so many are recorded with what it does."""


class Tenant(Enum):
    """Where a method's request says whose order it is about."""

    REQUEST = "each order's customer_id: an empty one means the caller's own"
    ORDER = "the order that it names: another's is as unknown as one that does not exist"
    FILTER = "the customer_id of its filter: an empty one means all that the caller may see"
    NONE = "nowhere: the method is about the service as a whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may call a method: for orders of their `own` customer, or for `all` orders."""

    own: frozenset[Role] = frozenset()
    all: frozenset[Role] = frozenset()
    tenant: Tenant

    def admit(self, caller: Caller) -> str | None:
        """Return the customer whose orders the call is about, None for everybody's.

        Raises NotAllowed when no role of the caller allows the method.
        """
        if not caller.roles.isdisjoint(self.all):
            return None
        if caller.roles.isdisjoint(self.own):
            needed = sorted(role.value for role in self.own | self.all)
            raise NotAllowed(f"this call needs the role {' or '.join(needed)}", needs=needed[0])
        if caller.customer is None:
            raise NotAllowed("the caller acts for no customer", needs="customer")
        return None if caller.customer == EVERYBODY else caller.customer


ANYONE_KNOWN = Rule(all=frozenset(Role), tenant=Tenant.NONE)
"""For whoever has any role."""


@dataclass(slots=True)
class Call:
    """One call as an endpoint sees it: who makes it, and whose orders it is about.

    It is not frozen, and made by position: the other ways take a microsecond more of each call.
    """

    caller: Caller
    owner: str | None
    """The customer whose orders it is about; None: everybody's."""
    peer: Callable[[], str]
    """Returns the caller's address, as the transport names it."""
    trace: bytes | None = None
    """The trace context in which it does what it does, see `traces`."""
    span: Span = NO_SPAN
    """Its span, which has that context where the process has an SDK."""
    about: dict[str, object] = field(default_factory=dict)
    """What the access log, and every entry that is logged during the call, tells of it.

    A field that is empty is left out.
    """
    transport: Transport = Transport.GRPC
    seconds_left: Callable[[], float | None] = lambda: None
    """Returns how long its caller waits for the answer; None: without end."""

    def operator(self, request_id: str = "") -> Operator:
        """Return who calls, as it is recorded with what it does as an operator.

        `request_id`: of a call that changes many orders at once.
        """
        caller = self.caller
        return Operator(
            name=escaped(caller.name)[:NAME_CHARACTERS],
            credential=caller.credential.value,
            peer=escaped(self.peer())[:NAME_CHARACTERS],
            own=caller.customer if Role.CUSTOMER in caller.roles else None,
            request_id=request_id,
        )

    def reader(self, since: int) -> Reader:
        """Return who calls, as it is told of a completion stream that began at this time."""
        by = self.operator()
        return Reader(caller=by.name, peer=by.peer, transport=self.transport, since=since)

    def canceller(self) -> Operator | None:
        """Return who cancels as an operator; None: a customer does, or who acts for all of them."""
        by = self.operator()
        return None if self.owner is not None or by.own == EVERYBODY else by

    def check_orders(self, requests: Iterable[api.PlaceOrderRequest]) -> None:
        """Fill in the caller's customer where an order names none.

        Raises NotAllowed for another's order, and for a VIP order without the role for that.
        """
        may_vip = Role.VIP in self.caller.roles
        if self.owner is None and may_vip:
            return
        for request in requests:
            self._fill_in_owner(request)
            if request.tier == order_pb2.TIER_VIP and not may_vip:
                raise NotAllowed("TIER_VIP needs the role vip", needs="vip")

    def _fill_in_owner(self, request: api.PlaceOrderRequest) -> None:
        if self.owner is not None:
            request.customer_id = request.customer_id or self.owner
            if request.customer_id != self.owner:
                raise NotAllowed("the order is another customer's", needs="customer")
