"""Both clients and the command line lead orders through their lives, on a real server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

import orderintake
from client.cli.command import lines_of, run_at
from orderintake import (
    REGULAR,
    VIP,
    AsyncClient,
    CancelOutcome,
    Client,
    NewOrder,
    State,
    WaitReason,
)
from orderintake_server.handlers import OrderAttempt, Reject
from orderintake_server.testing import ServerUnderTest, server

HOUR = timedelta(hours=1)
TEA = NewOrder(customer_id="ada", lines={"tea": 1})


class Threaded:
    """Client with the surface of AsyncClient: each call runs in a thread."""

    def __init__(self, target: str) -> None:
        self._client = Client(target)

    async def __aenter__(self) -> Self:
        self._client.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._client.__exit__, None, None, None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def listed(**filters: Any) -> Any:  # noqa: ANN401 - as the method's
            for item in await asyncio.to_thread(lambda: list(method(**filters))):
                yield item

        async def called(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
            return await asyncio.to_thread(method, *arguments, **named)

        return listed if name in {"orders", "list_completions"} else called


Connect = Callable[[str], Any]


@pytest.fixture(params=[AsyncClient, Threaded], ids=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Either client; both have the same surface."""
    client: Connect = request.param
    return client


async def rejecting(attempt: OrderAttempt) -> None:
    if not attempt.lines[0].sku.startswith("tea"):
        raise Reject("OUT_OF_STOCK", "no more")


async def ended(client: Any, count: int) -> list[orderintake.Completion]:  # noqa: ANN401
    """Wait until so many orders have ended."""
    while True:
        found = [completion async for completion in client.list_completions()]
        if len(found) >= count:
            return found


async def test_an_order_is_scheduled_and_cancelled(tmp_path: Path, connect: Connect) -> None:
    async with server(data=tmp_path) as shop, connect(shop.address) as client:
        receipt = await client.place(**TEA, not_before=HOUR, expire_time=2 * HOUR)
        stands = await client.get(receipt.order.order_id)
        answer = await client.cancel(receipt.order.order_id)
        again = await client.cancel(receipt.order.order_id)
    assert receipt.order.state == State.STATE_SCHEDULED
    between = stands.order.expire_time.ToDatetime() - stands.order.not_before.ToDatetime()
    assert between == HOUR
    assert stands.wait_reason == WaitReason.WAIT_REASON_SCHEDULED
    assert answer == again
    assert answer.outcome == CancelOutcome.CANCEL_OUTCOME_CANCELLED
    assert answer.completion.order.state == State.STATE_CANCELLED


async def test_orders_and_completions_are_listed_over_pages(
    tmp_path: Path, connect: Connect
) -> None:
    async with server(data=tmp_path) as shop, connect(shop.address) as client:
        for number in range(7):
            tier = VIP if number % 2 else REGULAR
            await client.place(customer_id=f"c{number % 3}", lines={"tea": 1}, tier=tier)
        whole = await ended(client, 7)
        orders = [order async for order in client.orders(page_size=2)]
        some = [each async for each in client.orders(customer_id="c0", tier=VIP, page_size=1)]
        waiting = [each async for each in client.orders(state=State.STATE_QUEUED)]
        after = [each async for each in client.list_completions(after=whole[3].cursor, page_size=2)]
        vip = [each async for each in client.list_completions(customer_id="c0", tier=VIP)]
    assert [order.accept_sequence for order in orders] == [1, 2, 3, 4, 5, 6, 7]
    assert [order.accept_sequence for order in some] == [4]
    assert waiting == []
    assert after == whole[4:]
    assert [completion.order for completion in vip] == some


async def test_operators_pause_resume_and_redrive(tmp_path: Path, connect: Connect) -> None:
    async with (
        server(data=tmp_path, handler=rejecting) as shop,
        connect(shop.address) as client,
    ):
        await client.pause_tier(VIP)
        receipt = await client.place(customer_id="ada", lines={"cake": 1}, tier=VIP)
        stands = await client.get(receipt.order.order_id)
        (vip, _) = (await client.queue_stats()).tiers
        with pytest.raises(orderintake.OrderNotRedrivable):
            await client.redrive(receipt.order.order_id)
        await client.resume_tier(VIP)
        await ended(client, 1)
        copy = await client.redrive(receipt.order.order_id)
        again = await client.redrive(receipt.order.order_id)
    assert receipt.position == stands.position == 1
    assert stands.wait_reason == WaitReason.WAIT_REASON_TIER_PAUSED
    assert (vip.tier, vip.queued, vip.paused) == (VIP, 1, True)
    assert copy.order.redrive_of == receipt.order.order_id
    assert (copy.replayed, again.replayed) == (False, True)
    assert again.order.order_id == copy.order.order_id


async def test_a_customer_over_its_quota_is_told_so(tmp_path: Path, connect: Connect) -> None:
    async with (
        server(data=tmp_path, workers=0, customer_queue_limit=1) as shop,
        connect(shop.address) as client,
    ):
        await client.place(**TEA)
        with pytest.raises(orderintake.CustomerQuota) as caught:
            await client.place(**TEA)
        await client.place(customer_id="bob", lines={"tea": 1})
    assert caught.value.subject == "customer:ada"
    assert caught.value.retry_after


async def test_a_cursor_older_than_retention_names_the_earliest(
    tmp_path: Path, connect: Connect
) -> None:
    async with (
        server(data=tmp_path, retention=3600.0) as shop,
        connect(shop.address) as client,
    ):
        first = await client.place(**TEA)
        await ended(client, 1)
        shop.clock.turn(7200)
        await client.place(**TEA)
        found = await ended(client, 1)
        while found[0].sequence != 2:
            found = await ended(client, 1)
        with pytest.raises(orderintake.CursorExpired) as caught:
            [each async for each in client.list_completions(after=first.cursor)]
        earliest = caught.value.earliest_cursor
        assert [each async for each in client.list_completions(after=earliest)] == found


Run = Callable[..., Awaitable[Any]]
PLACE = ("place", "--customer", "ada", "--line")


def command(shop: ServerUnderTest) -> Run:
    """Run commands against a server; each must succeed and gives its lines of JSON."""

    async def run(*arguments: str) -> Any:  # noqa: ANN401 - JSON
        result = await asyncio.to_thread(run_at, shop.address, *arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return lines_of(result.stdout)

    return run


async def test_the_command_line_pauses_a_tier_and_redrives(tmp_path: Path) -> None:
    async with (
        server(data=tmp_path, handler=rejecting) as shop,
        AsyncClient(shop.address) as client,
    ):
        run = command(shop)
        await run("pause", "vip")
        (cake,) = await run(*PLACE, "cake", "--vip")
        order_id = cake["order"]["order_id"]
        shown = await asyncio.to_thread(run_at, shop.address, "get", order_id)
        (stats,) = await run("stats")
        await run("resume", "vip")
        await ended(client, 1)
        (copy,) = await run("redrive", order_id)
    assert cake["position"] == "1"
    assert "for its tier, which is paused" in shown.stdout
    assert [tier.get("queued") for tier in stats["tiers"]] == ["1", "0"]
    assert copy["order"]["redrive_of"] == order_id


async def test_p27_each_action_of_an_operator_is_told_once(tmp_path: Path) -> None:
    async with (
        server(data=tmp_path, handler=rejecting) as shop,
        AsyncClient(shop.address) as client,
    ):
        run = command(shop)
        (cake,) = await run(*PLACE, "cake")
        order_id = cake["order"]["order_id"]
        await ended(client, 1)
        await run("pause", "vip")
        (copy,) = await run("redrive", order_id)
        await run("pause", "vip")
        await run("redrive", order_id)
        await run("resume", "vip")
        told = await run("actions")
        of_order = [action async for action in client.operator_actions(order_id=order_id)]
    assert [(each["sequence"], each["action"]) for each in told] == [
        ("3", "ACTION_RESUME_TIER"),
        ("2", "ACTION_REDRIVE_ORDER"),
        ("1", "ACTION_PAUSE_TIER"),
    ]
    assert {(each["caller"], each["credential"]) for each in told} == {
        ("anybody", "CREDENTIAL_OPEN")
    }
    assert all(each["peer"].startswith("ipv4:127.0.0.1:") for each in told)
    (redriven,) = of_order
    assert redriven.order_id == order_id
    assert redriven.copy_order_id == copy["order"]["order_id"]


async def test_the_command_line_lists_and_cancels(tmp_path: Path) -> None:
    async with server(data=tmp_path) as shop, AsyncClient(shop.address) as client:
        run = command(shop)
        (later,) = await run(*PLACE, "tea", "--not-before", "+1h", "--expire-time", "+2h")
        (now,) = await run(*PLACE, "tea")
        await ended(client, 1)
        listed = await run("list", "--customer", "ada", "--state", "scheduled")
        (cancelled,) = await run("cancel", later["order"]["order_id"])
        late = await asyncio.to_thread(run_at, shop.address, "cancel", now["order"]["order_id"])
    assert [order["order_id"] for order in listed] == [later["order"]["order_id"]]
    assert cancelled["completion"]["order"]["state"] == "STATE_CANCELLED"
    assert late.exit_code == 1
    assert late.stdout.startswith("too late  regular  succeeded")


async def test_get_shows_position_and_estimate(tmp_path: Path) -> None:
    async with server(data=tmp_path, workers=1) as shop, AsyncClient(shop.address) as client:
        await client.place(**TEA)
        await ended(client, 1)
        shop.hold()
        await client.place(**TEA)
        await shop.starts(2)
        receipt = await client.place(**TEA)
        get = ("get", receipt.order.order_id)
        shown = await asyncio.to_thread(run_at, shop.address, *get)
        found = json.loads((await asyncio.to_thread(run_at, shop.address, *get, "--json")).stdout)
    assert "position  1" in shown.stdout
    assert "starts    about 20" in shown.stdout
    assert "(4 in 5: from " in shown.stdout
    assert found["earliest_start_time"] <= found["latest_start_time"]
