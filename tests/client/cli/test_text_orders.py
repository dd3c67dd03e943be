"""What the command line shows of an order's life: why it waits, when it starts, what refused it."""

import grpc
import pytest
from rich.console import Console, RenderableType

from orderintake import CancelOrderResponse, CustomerQuota, GetOrderResponse, Order, WaitReason
from orderintake.cli.json_output import error_json
from orderintake.cli.tables import standing_table
from orderintake.cli.text import cancel_text, error_text
from orderintake.status import Status


def shown(view: RenderableType) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view, soft_wrap=True)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_waiting_order_is_shown_with_its_prospects() -> None:
    response = GetOrderResponse(order=Order(order_id="o1", redrive_of="o0"), position=12)
    response.wait_reason = WaitReason.WAIT_REASON_ORDERS_AHEAD
    response.estimated_start_time.FromJsonString("2030-01-31T12:00:05.123456Z")
    response.earliest_start_time.FromJsonString("2030-01-31T12:00:04Z")
    response.latest_start_time.FromJsonString("2030-01-31T12:00:09Z")
    response.order.not_before.FromSeconds(60)
    response.order.expire_time.FromSeconds(120)
    lines = shown(standing_table(response))
    assert lines[-4:] == [
        "waits for orders ahead of it, or a free worker",
        "position 12",
        "starts about 2030-01-31T12:00:05.123Z",
        "(4 in 5: from 2030-01-31T12:00:04Z to 2030-01-31T12:00:09Z)",
    ]
    assert "copy of o0" in lines
    assert "not before 1970-01-01T00:01:00Z" in lines
    assert "expires 1970-01-01T00:02:00Z" in lines


def test_an_order_that_does_not_wait_has_no_prospects() -> None:
    lines = shown(standing_table(GetOrderResponse(order=Order(order_id="o1"))))
    assert not [line for line in lines if line.startswith(("waits", "position", "starts"))]


@pytest.mark.parametrize("reason", [each for each in WaitReason.values() if each])
def test_every_reason_to_wait_has_its_words(reason: WaitReason.ValueType) -> None:
    assert shown(standing_table(GetOrderResponse(wait_reason=reason)))[-1].startswith("waits for ")


def test_what_a_newer_contract_knows_is_shown_by_number() -> None:
    newer = GetOrderResponse(wait_reason=99)  # type: ignore[arg-type]
    assert shown(standing_table(newer))[-1] == "waits 99"
    assert shown(cancel_text(CancelOrderResponse(outcome=99)))[0].startswith("99")  # type: ignore[arg-type]


def test_a_quota_is_told_with_its_subject() -> None:
    error = CustomerQuota(
        Status(
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            message="too many",
            reason="CUSTOMER_QUOTA",
            retry_after=2.0,
            quota_subject="customer:ada",
        )
    )
    found = error_json(error)
    assert (found["subject"], found["retry_after"]) == ("customer:ada", 2.0)
    assert shown(error_text(found)) == ["CUSTOMER_QUOTA: too many", "try again in 2.0 s"]
