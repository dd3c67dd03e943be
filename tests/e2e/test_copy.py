"""A store that moved: its subscribers and callers go on at the new home as at the old one."""

from pathlib import Path

import pytest

from orderintake_server.commands.copy import copy
from orderintake_server.ids import Ids
from orderintake_server.views import EVERY_ORDER
from support.in_process import completions
from support.orders import order
from support.postgres_home import kinds
from support.process import serving_process


@pytest.mark.always
async def test_p14_a_cursor_is_good_wherever_the_store_has_moved(tmp_path: Path) -> None:
    async with serving_process(tmp_path / "old") as (server, stub):
        placed = [await stub.PlaceOrder(order(request_id=f"request-{n}")) for n in range(6)]
        seen = await completions(stub, 6)
        assert await server.stops() == 0
    cursor = seen[2].cursor

    home = kinds()[0](tmp_path)
    await home.open()
    await home.close()
    try:
        await copy(str(tmp_path / "old"), home.url)
        store = await home.open()
        names = Ids(store.recovery.log_id)
        after = names.sequence(cursor)
        page = await store.read_log(EVERY_ORDER, after=after, limit=9, max_bytes=1 << 20)
        assert [names.order_id(end.order.accept_sequence) for end in page.completions] == [
            end.order.order_id for end in seen[3:]
        ]
        await home.close()
        await copy(home.url, str(tmp_path / "new"))
    finally:
        await home.leave()

    async with serving_process(tmp_path / "new") as (_, stub):
        assert await completions(stub, 3, after=cursor) == seen[3:]
        again = await stub.PlaceOrder(order(request_id="request-4"))
        assert again.replayed
        assert again.order.order_id == placed[4].order.order_id
        fresh = await stub.PlaceOrder(order())
        assert names.accept_sequence(fresh.order.order_id) == 7
