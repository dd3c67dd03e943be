"""P22: an order that the database itself does not take ends no server and harms no other order."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_pb2
from orderintake_server.domain import State
from orderintake_server.store.sqlite.database import NAME
from support.in_process import completions
from support.orders import order
from support.postgres_home import kinds
from support.process import serving_process
from support.refusals import Refused, refused

SQLITE = f"""
CREATE TRIGGER no_order BEFORE INSERT ON orders WHEN NEW.customer_id = 'guilty'
BEGIN SELECT RAISE(ABORT, 'an operator refuses it'); END;
CREATE TRIGGER no_result BEFORE INSERT ON log
WHEN NEW.customer_id = 'fruitless' AND NEW.outcome = {State.SUCCEEDED:d}
BEGIN SELECT RAISE(ABORT, 'an operator refuses it'); END;
"""
POSTGRES = f"""
ALTER TABLE orderintake.orders ADD CONSTRAINT no_order CHECK (customer_id <> 'guilty');
ALTER TABLE orderintake.log ADD CONSTRAINT no_result
CHECK (customer_id <> 'fruitless' OR outcome <> {State.SUCCEEDED:d});
"""
FORGIVEN = """
ALTER TABLE orderintake.orders DROP CONSTRAINT no_order;
ALTER TABLE orderintake.log DROP CONSTRAINT no_result;
"""

Place = tuple[tuple[str, ...], Callable[[], object]]
"""A server's arguments, and what an operator does to its database."""


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A store of each kind."""
    if request.param == "sqlite":

        def guard() -> None:
            with closing(sqlite3.connect(tmp_path / NAME)) as operator:
                operator.executescript(SQLITE)

        yield (), guard
        return
    home = kinds()[0](tmp_path)
    await home.open()
    await home.close()
    name = home.url.rpartition("/")[2]
    yield ("--store", home.url), lambda: home.cluster.run_sql(POSTGRES, database=name)
    await asyncio.to_thread(home.cluster.run_sql, FORGIVEN, database=name)
    await home.leave()


@pytest.mark.seconds
async def test_p22_only_the_guilty_are_refused_and_fail(tmp_path: Path, place: Place) -> None:
    arguments, guard = place
    async with serving_process(tmp_path, "--workers", "4", *arguments) as (server, stub):
        await stub.PlaceOrder(order())
        await asyncio.to_thread(guard)
        customers = ["guilty" if n % 10 == 3 else "ada" for n in range(60)] + ["fruitless"] * 3
        placed = await asyncio.gather(
            *(stub.PlaceOrder(order(customer_id=name)) for name in customers),
            return_exceptions=True,
        )
        failures = [e for e in placed if isinstance(e, grpc.aio.AioRpcError)]
        found = await completions(stub, 1 + len(placed) - len(failures))
        assert await server.stops() == 0
    refusals: list[Refused] = [refused(failure) for failure in failures]
    assert {refusal.code for refusal in refusals} == {grpc.StatusCode.INTERNAL}
    assert {refusal.reason for refusal in refusals} == {"INTERNAL"}
    assert len({refusal.metadata["incident_id"] for refusal in refusals}) == 6
    by_customer: dict[str, set[str]] = {}
    for end in found:
        told = end.failure.code or order_pb2.State.Name(end.order.state)
        by_customer.setdefault(end.order.customer_id, set()).add(told)
    assert by_customer.pop("fruitless") == {"OUTCOME_NOT_STORED"}
    assert set().union(*by_customer.values()) == {"STATE_SUCCEEDED"}
    assert "guilty" not in by_customer
