"""An order that waits for its result, and the future into which that is put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from grpc import StatusCode

from orderintake.errors import ContractBroken, from_status
from orderintake.status import Status, read_status
from orderintake.v1.order_intake_service_pb2 import PlaceOrderResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake.errors import OrderIntakeError
    from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest, PlaceOrdersRefusal


class Future(Protocol):
    """Where the result of an order is put: asyncio's future, or that of threads."""

    def done(self) -> bool:
        """Tell whether nobody waits for the result any more."""

    def set_result(self, result: PlaceOrderResponse, /) -> None:
        """Put the receipt."""

    def set_exception(self, exception: Exception, /) -> None:
        """Put the error."""


F = TypeVar("F", bound=Future)


@dataclass(slots=True, eq=False)
class Waiting(Generic[F]):
    """An order without a result, the `number`th that was placed, and where its result is put."""

    number: int
    request: PlaceOrderRequest
    size: int
    future: F
    refusals: int = 0
    """How often it was refused for now."""


class Result(NamedTuple, Generic[F]):
    """What became of an order, to be put into its future."""

    future: F
    outcome: PlaceOrderResponse | Exception

    def put(self) -> None:
        """Put it there, unless nobody waits for it any more."""
        if self.future.done():
            return
        if isinstance(self.outcome, PlaceOrderResponse):
            self.future.set_result(self.outcome)
        else:
            self.future.set_exception(self.outcome)


def by_number(waiting: Iterable[Waiting[F]]) -> list[Waiting[F]]:
    """Return these in the order in which they were placed."""
    return sorted(waiting, key=lambda each: each.number)


def error_of(refusal: PlaceOrdersRefusal) -> OrderIntakeError:
    """Return the error that an order's refusal stands for."""
    return from_status(read_status(refusal.code, refusal.message, refusal.details))


def broken(message: str) -> ContractBroken:
    """Return the error of a server that does what the contract forbids."""
    return ContractBroken(Status(code=StatusCode.INTERNAL, message=message))
