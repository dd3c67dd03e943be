"""Who is recorded with what: operators, but not those who cancel as the order's customer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.access import EVERYBODY, Caller, Credential, Role
from orderintake_server.api.access import Call
from orderintake_server.api.endpoints import Endpoints
from orderintake_server.api.methods import TABLE
from orderintake_server.api.responses import Responses
from orderintake_server.domain import Tier
from orderintake_server.errors import CursorInvalid, InvalidOrder, OrderNotFound
from orderintake_server.ids import Ids
from support.changes import FAILED, actions, complete, new, told
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.logs import capture_logs

IDS = Ids("0badcafe")
UNASKED: Any = None
PEER = "ipv4:192.0.2.7:51234"
CANCEL = "orderintake.v1.OrderIntakeService.CancelOrder"


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A desk at which ada's order 1 has failed, and her order 2 waits."""
    async with working(Desk(store)) as desk:
        yield desk


@pytest.fixture
async def endpoints(store: FaultyStore, desk: Desk) -> Endpoints:
    """The endpoints of that desk."""
    await complete(store, new(b""), ending=FAILED)
    await desk.place(new(b""))
    return Endpoints(
        desk.intake, UNASKED, responses=Responses(IDS, desk.store.clock), ids=IDS, refusals=UNASKED
    )


def call(
    *roles: Role, customer: str | None = None, name: str = "boss", method: str = CANCEL
) -> Call:
    """Make a call that the method's rule admits."""
    caller = Caller(name=name, credential=Credential.KEY, roles=frozenset(roles), customer=customer)
    return Call(caller=caller, owner=TABLE[method].rule.admit(caller), peer=lambda: PEER)


OPERATOR = call(Role.OPERATOR)
RECORDED = {
    "an operator": (OPERATOR, True),
    "an operator who is another customer": (
        call(Role.OPERATOR, Role.CUSTOMER, customer="bob"),
        True,
    ),
    "an operator with a customer, but not the role": (call(Role.OPERATOR, customer="ada"), True),
    "the customer": (call(Role.CUSTOMER, customer="ada"), False),
    "the customer, who is an operator too": (
        call(Role.OPERATOR, Role.CUSTOMER, customer="ada"),
        False,
    ),
    "a shop for all its customers": (call(Role.CUSTOMER, customer=EVERYBODY), False),
    "such a shop, an operator too": (
        call(Role.OPERATOR, Role.CUSTOMER, customer=EVERYBODY),
        False,
    ),
}


@pytest.mark.parametrize(("caller", "is_recorded"), RECORDED.values(), ids=RECORDED)
async def test_a_cancel_is_recorded_where_it_is_an_operators(
    store: FaultyStore, endpoints: Endpoints, caller: Call, *, is_recorded: bool
) -> None:
    request = api.CancelOrderRequest(order_id=IDS.order_id(2))
    answer = await endpoints.cancel_order(request, caller)
    assert answer.outcome == api.CANCEL_OUTCOME_CANCELLED
    assert told(await actions(store)) == [("CANCEL_ORDER", "boss", 2)] * is_recorded


async def test_all_that_operators_do_is_listed_and_logged(endpoints: Endpoints) -> None:
    redrive = admin.RedriveOrderRequest(order_id=IDS.order_id(1))
    vip = order_pb2.TIER_VIP
    with capture_logs() as log:
        for _ in range(2):
            await endpoints.pause_tier(admin.PauseTierRequest(tier=vip), OPERATOR)
            await endpoints.redrive_order(redrive, OPERATOR)
            await endpoints.cancel_order(api.CancelOrderRequest(order_id=IDS.order_id(2)), OPERATOR)
        await endpoints.resume_tier(admin.ResumeTierRequest(tier=vip), OPERATOR)
    asked = [line for line in log if line["event"] == "an operator asks"]
    assert [line["action"] for line in asked] == [
        *["PAUSE_TIER", "REDRIVE_ORDER", "CANCEL_ORDER"] * 2,
        "RESUME_TIER",
    ]
    assert {(line["caller"], line["credential"], line["peer"]) for line in asked} == {
        ("boss", "key", PEER)
    }
    assert asked[0]["tier"] == "VIP"
    assert asked[1]["order_id"] == IDS.order_id(1)
    listed = await endpoints.list_operator_actions(admin.ListOperatorActionsRequest(), OPERATOR)
    assert listed.next_page_token == ""
    assert [
        (each.sequence, admin.Action.Name(each.action), each.tier, each.order_id)
        for each in listed.actions
    ] == [
        (4, "ACTION_RESUME_TIER", vip, ""),
        (3, "ACTION_CANCEL_ORDER", 0, IDS.order_id(2)),
        (2, "ACTION_REDRIVE_ORDER", 0, IDS.order_id(1)),
        (1, "ACTION_PAUSE_TIER", vip, ""),
    ]
    assert [each.copy_order_id for each in listed.actions] == ["", "", IDS.order_id(3), ""]
    assert [each.detail for each in listed.actions] == [
        "{}",
        '{"outcome": "CANCELLED"}',
        "{}",
        "{}",
    ]
    assert {(each.caller, each.peer, each.credential) for each in listed.actions} == {
        ("boss", PEER, admin.CREDENTIAL_KEY)
    }
    assert all(each.HasField("time") for each in listed.actions)


async def test_actions_are_listed_page_by_page_and_by_order(endpoints: Endpoints) -> None:
    request = admin.ListOperatorActionsRequest(page_size=2)
    await endpoints.redrive_order(admin.RedriveOrderRequest(order_id=IDS.order_id(1)), OPERATOR)
    for _ in range(2):
        await endpoints.pause_tier(admin.PauseTierRequest(tier=order_pb2.TIER_VIP), OPERATOR)
        await endpoints.resume_tier(admin.ResumeTierRequest(tier=order_pb2.TIER_VIP), OPERATOR)
    pages: list[list[int]] = []
    while not pages or request.page_token:
        page = await endpoints.list_operator_actions(request, OPERATOR)
        pages.append([each.sequence for each in page.actions])
        request.page_token = page.next_page_token
    assert pages == [[5, 4], [3, 2], [1]]
    of_order = admin.ListOperatorActionsRequest(order_id=IDS.order_id(1))
    (action,) = (await endpoints.list_operator_actions(of_order, OPERATOR)).actions
    assert action.sequence == 1


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "a page size below zero": ({"page_size": -1}, InvalidOrder),
    "no page token": ({"page_token": "nonsense"}, CursorInvalid),
    "an order_id": ({"page_token": IDS.order_id(1)}, CursorInvalid),
    "a cursor": ({"page_token": IDS.cursor(1)}, CursorInvalid),
    "another store's": ({"page_token": Ids("0" * 8).action_token(1)}, CursorInvalid),
    "no order_id": ({"order_id": "nonsense"}, OrderNotFound),
}


@pytest.mark.parametrize(("fields", "refusal"), BAD.values(), ids=BAD)
async def test_a_bad_request_for_actions_is_refused(
    endpoints: Endpoints, fields: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await endpoints.list_operator_actions(admin.ListOperatorActionsRequest(**fields), OPERATOR)


async def test_a_name_is_recorded_in_printable_characters_and_cut(
    store: FaultyStore, endpoints: Endpoints
) -> None:
    odd = call(Role.OPERATOR, name="eve\0\x1b[2J\udcff" + "x" * 300)
    await endpoints.pause_tier(admin.PauseTierRequest(tier=order_pb2.TIER_VIP), odd)
    (action,) = await actions(store)
    assert action.by.name.startswith(r"eve\x00\x1b[2J\udcffxxx")
    assert len(action.by.name) == 256
    assert action.tier is Tier.VIP
