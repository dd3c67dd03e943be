"""From settings to parts: each setting arrives where it is used, and an absent limit is none."""

import math
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt

from orderintake_server import parts
from orderintake_server.access.exposure import Exposure
from orderintake_server.clock import Clock
from orderintake_server.config import Settings
from orderintake_server.dispatch.queues import OwnQueue, SharedQueue
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.workers import WorkPolicy
from orderintake_server.domain import Ranking, Tier
from orderintake_server.handlers import CallPolicy, Shop
from orderintake_server.rpc.port.limits import most_connections
from orderintake_server.rpc.server import RpcSettings
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Capacity, Changes, OverCapacity
from support.changes import new, place
from support.faulty import FaultyStore


def test_a_head_start_is_told_in_microseconds_and_none_means_strict_priority() -> None:
    assert parts.store_policy(Settings()) == Policy()
    assert parts.store_policy(
        Settings(vip_head_start=1.5, max_crashes=7, customer_queue_limit=9)
    ) == Policy(ranking=Ranking(vip_head_start=1_500_000), max_crashes=7, counts_customers=True)


def test_without_a_timeout_or_an_age_there_is_none() -> None:
    settings = Settings(attempt_timeout=0, max_connection_age=0, retention=0, idle_timeout=0)
    assert parts.call_policy(settings, Shop()).attempt_seconds is None
    assert parts.rpc_settings(settings, None).connection_seconds is None
    assert parts.rpc_settings(settings, None).idle_seconds is None
    most = parts.rpc_settings(settings, None).most_connections
    assert most == most_connections(settings.workers)
    assert parts.retention(settings, Clock()).due() is None


async def test_every_setting_of_a_shared_store_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, object] = {}

    @asynccontextmanager
    async def remembers(address: str, **settings: object) -> AsyncIterator[None]:
        opened.update(settings, address=address)
        yield

    monkeypatch.setattr("orderintake_server.store.postgres.store.postgres_store", remembers)
    settings = Settings(
        store="postgresql://db/orders", replica="one", lease=2, worker_lease=60,
        notify=False, pooler=True, max_crashes=7,
    )  # fmt: skip
    async with parts.store(settings, None):
        pass
    assert opened == {
        "address": "postgresql://db/orders", "replica": "one", "workers": settings.own_workers,
        "lease_seconds": 2, "worker_lease": 60, "hints": False, "is_pooled": True, "clock": None,
        "policy": parts.store_policy(settings),
    }  # fmt: skip


def test_who_shares_a_store_takes_a_worker_for_dead_after_two_leases_at_the_least() -> None:
    assert parts.worker_lease(Settings(lease=20, worker_lease=30)) == 30
    shared = Settings(store="postgresql://db/orders", lease=20, worker_lease=30)
    assert parts.worker_lease(shared) == 40


def test_every_setting_of_the_work_and_of_the_port_arrives() -> None:
    settings = Settings(
        workers=3, max_attempts=2, retry_delay=0.5, retry_factor=3, retry_delay_limit=9,
        attempt_timeout=4, stuck_attempts=5, exception_text=True,
        listen=("[::1]:5",), insecure=True, subscriber_timeout=7, max_connection_age=8,
        idle_timeout=9, max_connections=10, max_streams=11,
    )  # fmt: skip
    assert parts.work_policy(settings) == WorkPolicy(
        workers=3,
        retries=RetryPolicy(max_attempts=2, first_seconds=0.5, factor=3, most_seconds=9),
    )
    assert parts.call_policy(settings, Shop(name="kitchen:prepare")) == CallPolicy(
        name="kitchen:prepare", slots=3, stuck=5, attempt_seconds=4, tells_text=True
    )
    assert parts.rpc_settings(settings, None) == RpcSettings(
        listen=("[::1]:5",),
        tls=None,
        exposure=Exposure(
            is_encrypted=False,
            knows_callers=False,
            is_accepted=True,
            cure="Give --tls-cert and --tls-key, and say who may call with --access or --jwt-keys",
        ),
        subscriber_seconds=7,
        connection_seconds=8,
        idle_seconds=9,
        most_connections=10,
        most_streams=11,
    )


async def test_what_waits_in_the_store_is_counted_against_the_limits(store: FaultyStore) -> None:
    await place(store, new(), new(vip=True))
    settings = Settings(queue_limit=10, vip_reserve=0.2, customer_queue_limit=3)
    admission = parts.admission(settings, store)
    assert admission.capacity() == Capacity(total=10, regular=8, per_customer=3, waiting=0)
    counted = (await store.commit(Changes())).counts
    assert counted[Tier.VIP].queued == 1
    admission.count(counted, started=0)
    assert admission.capacity() == Capacity(total=8, regular=6, per_customer=3, waiting=2)
    assert "2 orders wait; 10 may" in admission.refusal(OverCapacity(9)).text


NUMBERS = [
    name for name, field in Settings.model_fields.items() if field.annotation in {int, float}
]


def edges(name: str) -> list[float]:
    """Give the least and the largest value of a setting."""
    found: list[Any] = []
    for limit in Settings.model_fields[name].metadata:
        match limit:
            case Ge(ge=edge) | Le(le=edge):
                found.append(edge)
            case Gt(gt=outside) | Lt(lt=outside):
                found.append(math.nextafter(float(str(outside)), 0.5))
    return found


@pytest.mark.parametrize("name", NUMBERS)
async def test_every_number_has_limits_and_the_parts_take_them(
    store: FaultyStore, name: str
) -> None:
    assert len(edges(name)) == 2, "it has no least or no largest value"
    for edge in edges(name):
        settings = Settings.model_construct(None, **{name: edge})  # type: ignore[arg-type] # which one it is
        parts.admission(settings, store).capacity()
        parts.customer_rate(settings).consume([("ada", 1)])
        parts.retention(settings, Clock()).due()
        if name != "max_connections":  # how many files a process may open is the machine's
            assert parts.rpc_settings(settings, None).most_connections > 0
        assert parts.store_policy(settings).max_crashes > 0
        retries = parts.work_policy(settings).retries
        assert (retries.delay_seconds(1, lambda: 1.0) or 0) >= 0


async def test_the_queue_is_the_stores_where_others_use_it_too(store: FaultyStore) -> None:
    assert isinstance(parts.queue(Settings(), store), OwnQueue)
    store.is_shared = True
    assert isinstance(parts.queue(Settings(), store), SharedQueue)


async def test_the_store_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    async with parts.store(Settings(data=tmp_path / "orders"), None) as opened:
        assert not opened.is_shared
    assert (tmp_path / "orders" / "orders.db").is_file()


@pytest.mark.seconds
@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "postgresql://nowhere/orders"],
        ["migrate", "--store", "postgresql://nowhere/orders"],
        ["audit", "--store", "postgresql://nowhere/orders"],
        ["copy", "--from", "data", "--to", "postgresql://nowhere/orders"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_its_driver_a_store_in_postgresql_is_refused_by_what_to_install(
    arguments: list[str],
) -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = None;"
        f"sys.argv[1:] = {arguments}; from orderintake_server.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.returncode in {1, 2}
    assert "pip install 'orderintake-server[postgres]'" in ended.stderr
    assert "Traceback" not in ended.stderr
