"""Moves many orders, call after call, until there are no more; and tells of each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orderintake.v1.order_admin_service_pb2 import CancelOrdersResponse, RedriveOrdersResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from orderintake.cli.screen import Screen

_M = TypeVar("_M", RedriveOrdersResponse, CancelOrdersResponse)


def move(
    screen: Screen, call: Callable[..., _M], count: Callable[[_M], int], view: Callable[[_M], Text]
) -> None:
    """Call with the `page_token` of the call before, until it is empty.

    Each call that moved orders is shown once that is durable; the last one if none moved any.
    """
    token, moved = "", 0
    while True:
        response = call(page_token=token)
        token, moved = response.next_page_token, moved + count(response)
        if count(response) or not (token or moved):
            screen.show(response, view)
        if not token:
            return
