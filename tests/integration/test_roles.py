"""P24: who may call what, and whose orders it shows: every RPC, role and order is walked."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.ids import Ids
from support.callers import Metadata, bearing, entry, key_of, write_access
from support.every_method import EVERY, Told, call
from support.in_process import listening
from support.orders import order

ROLES = ("customer", "vip", "subscriber", "worker", "operator", "observer")
CALLERS = ("nobody", *ROLES, "customer+vip")
OWNERS = {"own": "ada", "other's": "bob", "unknown": "nobody-at-all"}
"""Whose orders the callers ask for; they are ada's."""


@dataclass(frozen=True)
class Whose:
    """One of the orders that a caller may ask for."""

    customer: str
    order_id: str


Request = Callable[[Whose], Message]


@dataclass(frozen=True)
class Expected:
    """What each of CALLERS gets for its own order, another's, and one that there is not.

    A letter each: . OK, F ORDER_NOT_FOUND, N NOT_ALLOWED, U UNAUTHENTICATED.
    """

    request: Request
    outcomes: str


_OUTCOMES = {
    ".": "OK",
    "F": "ORDER_NOT_FOUND",
    "N": "NOT_ALLOWED",
    "U": "UNAUTHENTICATED",
}
_INTAKE = "/orderintake.v1.OrderIntakeService"
_ADMIN = "/orderintake.v1.OrderAdminService"
_WORK = "/orderintake.v1.OrderWorkService"
PLACE_ORDERS = f"{_INTAKE}/PlaceOrders"
"""Which refuses single orders, and goes on."""


def _nothing(_: Whose) -> Message:
    return admin.GetQueueStatsRequest()


def _batch(whose: Whose) -> Message:
    return api.BatchPlaceOrdersRequest(requests=[order(customer_id=whose.customer)])


def _orders(whose: Whose) -> Message:
    return api.PlaceOrdersRequest(orders=[order(customer_id=whose.customer)])


def _regular(make: Callable[..., Message]) -> Request:
    return lambda _: make(tier=order_pb2.TIER_REGULAR)


def _named(make: Callable[..., Message]) -> Request:
    return lambda whose: make(order_id=whose.order_id)


def _filtered(make: Callable[..., Message]) -> Request:
    return lambda whose: make(customer_id=whose.customer)


def _failures(make: Callable[..., Message]) -> Request:
    return lambda whose: make(filter=admin.FailureFilter(customer_id=whose.customer))


def _working(make: Callable[..., Message]) -> Request:
    return lambda _: make(worker_id="me")


def _stopping(whose: Whose) -> Message:
    """Say for the first time that a worker stops, which is answered at once."""
    return work.KeepLeasesRequest(worker_id=whose.order_id, stopping=True)


def _waiting(whose: Whose) -> Message:
    return admin.CancelOrdersRequest(filter=admin.WaitingFilter(customer_id=whose.customer))


#                 nobody customer vip subscriber worker operator observer customer+vip
PLACES = "          UUU    .NN    NNN    NNN      NNN     NNN     NNN       .NN"
ONE = "             UUU    .FF    NNN    NNN      NNN     ..F     ..F       .FF"
CANCELS = "         UUU    .FF    NNN    NNN      NNN     ..F     NNN       .FF"
LISTS = "           UUU    .NN    NNN    NNN      NNN     ...     ...       .NN"
COMPLETIONS = "     UUU    .NN    NNN    ...      NNN     ...     ...       .NN"
SEES = "            UUU    NNN    NNN    NNN      NNN     ...     ...       NNN"
WORKS = "           UUU    NNN    NNN    NNN      ...     NNN     NNN       NNN"
OPERATES = "        UUU    NNN    NNN    NNN      NNN     ...     NNN       NNN"
REDRIVES = "        UUU    NNN    NNN    NNN      NNN     ..F     NNN       NNN"
KNOWN = "           UUU    ...    ...    ...      ...     ...     ...       ..."
ALL = "             ...    ...    ...    ...      ...     ...     ...       ..."

EXPECTED = {
    f"{_INTAKE}/PlaceOrder": Expected(lambda w: order(customer_id=w.customer), PLACES),
    f"{_INTAKE}/BatchPlaceOrders": Expected(_batch, PLACES),
    PLACE_ORDERS: Expected(_orders, PLACES),
    f"{_INTAKE}/GetOrder": Expected(_named(api.GetOrderRequest), ONE),
    f"{_INTAKE}/CancelOrder": Expected(_named(api.CancelOrderRequest), CANCELS),
    f"{_INTAKE}/ListOrders": Expected(_filtered(api.ListOrdersRequest), LISTS),
    f"{_INTAKE}/ListCompletions": Expected(_filtered(api.ListCompletionsRequest), COMPLETIONS),
    f"{_INTAKE}/StreamCompletions": Expected(_filtered(api.StreamCompletionsRequest), COMPLETIONS),
    f"{_ADMIN}/GetQueueStats": Expected(_nothing, SEES),
    f"{_ADMIN}/PauseTier": Expected(_regular(admin.PauseTierRequest), OPERATES),
    f"{_ADMIN}/ResumeTier": Expected(_regular(admin.ResumeTierRequest), OPERATES),
    f"{_ADMIN}/ListOperatorActions": Expected(lambda _: admin.ListOperatorActionsRequest(), SEES),
    f"{_ADMIN}/RedriveOrder": Expected(_named(admin.RedriveOrderRequest), REDRIVES),
    f"{_ADMIN}/ListFailures": Expected(_failures(admin.ListFailuresRequest), SEES),
    f"{_ADMIN}/RedriveOrders": Expected(_failures(admin.RedriveOrdersRequest), OPERATES),
    f"{_ADMIN}/CancelOrders": Expected(_waiting, OPERATES),
    f"{_ADMIN}/ListServers": Expected(_nothing, SEES),
    f"{_ADMIN}/ListSubscribers": Expected(_nothing, SEES),
    f"{_ADMIN}/ListWorkers": Expected(_nothing, SEES),
    f"{_WORK}/LeaseOrders": Expected(_working(work.LeaseOrdersRequest), WORKS),
    f"{_WORK}/KeepLeases": Expected(_stopping, WORKS),
    f"{_WORK}/EndWorker": Expected(_working(work.EndWorkerRequest), WORKS),
    "/grpc.health.v1.Health/Check": Expected(_nothing, ALL),
    "/grpc.health.v1.Health/List": Expected(_nothing, ALL),
    "/grpc.health.v1.Health/Watch": Expected(_nothing, ALL),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Expected(
        lambda _: reflection_pb2.ServerReflectionRequest(list_services=""), KNOWN
    ),
}


def metadata(caller: str) -> Metadata:
    """Give what one of CALLERS sends with its calls."""
    return () if caller == "nobody" else bearing(key_of(caller.replace("+", "-")))


@dataclass(frozen=True)
class Shop:
    """A server that knows all callers, and the orders that they ask for."""

    channel: grpc.aio.Channel
    orders: dict[str, Whose]

    async def call(self, path: str, caller: str, whose: str) -> Told:
        request = EXPECTED[path].request(self.orders[whose]).SerializeToString()
        skip = 1 if path == PLACE_ORDERS else 0
        told = await call(self.channel, path, request, metadata(caller), skip=skip)
        return told.of_result() if skip else told


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    entries = [entry(role, role, customer="ada" if role == "customer" else None) for role in ROLES]
    entries.append(entry("customer-vip", "customer", "vip", customer="ada"))
    entries.append(entry("back-end", "customer", "vip", customer="*"))
    access = write_access(tmp_path / "access.toml", entries)
    async with (
        listening(tmp_path / "data", workers=0, access=access) as (address, stub),
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Shop(channel, await placed(stub))


async def placed(stub: Any) -> dict[str, Whose]:  # noqa: ANN401 - a stub
    """Let ada and bob have an order that has ended."""
    key = bearing(key_of("back-end"))
    orders = {}
    for whose, customer in list(OWNERS.items())[:2]:
        receipt = await stub.PlaceOrder(order(customer_id=customer), metadata=key)
        orders[whose] = Whose(customer, receipt.order.order_id)
        await stub.CancelOrder(
            api.CancelOrderRequest(order_id=receipt.order.order_id), metadata=key
        )
    log_id = orders["own"].order_id.partition("-")[0]
    return orders | {"unknown": Whose(OWNERS["unknown"], Ids(log_id).order_id(1_000_000))}


def test_every_method_has_its_expectation() -> None:
    assert set(EXPECTED) == set(EVERY), "a method without a row here is not known to be safe"
    for expected in EXPECTED.values():
        assert [len(each) for each in expected.outcomes.split()] == [3] * len(CALLERS)


@pytest.mark.seconds
async def test_p24_each_role_may_do_what_the_table_says_and_nothing_else(shop: Shop) -> None:
    found, wanted = {}, {}
    for path, expected in EXPECTED.items():
        for caller, letters in zip(CALLERS, expected.outcomes.split(), strict=True):
            for whose, letter in zip(OWNERS, letters, strict=True):
                case = (path, caller, whose)
                wanted[case] = _OUTCOMES[letter]
                found[case] = (await shop.call(*case)).outcome
    assert {case: each for case, each in found.items() if each != wanted[case]} == {}


async def test_p24_anothers_order_cannot_be_told_from_one_that_there_is_not(shop: Shop) -> None:
    for path in EXPECTED:
        for caller in ("nobody", "customer", "customer+vip", "vip", "worker"):
            others = await shop.call(path, caller, "other's")
            unknown = await shop.call(path, caller, "unknown")
            if others.code is not grpc.StatusCode.OK:
                assert others == unknown, (path, caller)


async def test_p24_the_callers_own_lists_hold_no_other_orders(shop: Shop) -> None:
    for caller, customers in (("customer", {"ada"}), ("observer", {"ada", "bob"})):
        key = metadata(caller)
        told = await call(shop.channel, f"{_INTAKE}/ListOrders", b"", key)
        orders = api.ListOrdersResponse.FromString(told.message).orders
        assert {each.customer_id for each in orders} == customers
        told = await call(shop.channel, f"{_INTAKE}/ListCompletions", b"", key)
        page = api.ListCompletionsResponse.FromString(told.message).completions
        assert {each.order.customer_id for each in page} == customers


async def test_p24_what_a_caller_lacks_is_named(shop: Shop) -> None:
    told = await shop.call(f"{_INTAKE}/PlaceOrder", "worker", "own")
    assert (told.code, told.info.metadata["needs"]) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "customer",
    )
    told = await shop.call(f"{_ADMIN}/PauseTier", "observer", "own")
    assert told.info.metadata["needs"] == "operator"
    told = await shop.call(f"{_INTAKE}/GetOrder", "nobody", "own")
    assert (told.code, told.info.metadata["problem"]) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "MISSING",
    )
