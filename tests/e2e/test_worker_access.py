"""`orderintake worker` at a server with TLS: by a key, by tokens that expire, and refused."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from orderintake import AsyncClient
from orderintake.v1.order_pb2 import STATE_SUCCEEDED
from support.callers import entry, key_of, write_access
from support.issuer import ISSUER, Key, claims, write_jwks
from support.pki import Pki
from support.process import ServerProcess, WorkerProcess, server_process, worker_process

pytestmark = pytest.mark.seconds

DOES = ("--handler", "support.work_handlers:does")
EC = Key("ec")
LIFE_SECONDS, LIVES = 3, 3
"""How long a token lives, and over how many of them the worker works."""


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def server(pki: Pki, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with TLS that knows a shop's key, a worker's, and an issuer's tokens."""
    known = [entry("shop", "customer", "subscriber", customer="*"), entry("cook", "worker")]
    arguments = (
        *pki.arguments,
        *("--access", str(write_access(tmp_path / "access.toml", known))),
        *("--jwt-keys", str(write_jwks(tmp_path / "keys.json", EC)), "--jwt-issuer", ISSUER),
        *("--jwt-leeway", "0", "--workers", "0"),
    )
    with server_process(tmp_path / "data", *arguments) as process:
        yield process


def worker(
    server: ServerProcess, pki: Pki, *arguments: str
) -> AbstractContextManager[WorkerProcess]:
    """Run a worker; kill it at the end."""
    return worker_process(server.address, *DOES, "--ca", str(pki.ca), *arguments)


async def ended(server: ServerProcess, pki: Pki) -> None:
    """Place an order, and wait until it has been processed."""
    async with (
        asyncio.timeout(20),
        AsyncClient(server.address, ca=pki.ca, api_key=key_of("shop")) as client,
        client.completions() as completions,
    ):
        placed = (await client.place(customer_id="ada", lines={"tea": 1})).order.order_id
        async for completion in completions:
            if completion.order.order_id == placed:
                assert completion.order.state == STATE_SUCCEEDED
                return


def renew(file: Path) -> None:
    """Put a new token into the file, which is read whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(EC.sign(claims(time.time(), life=LIFE_SECONDS, roles=["worker"])))
    fresh.replace(file)


async def test_p24_a_key_lets_it_work(server: ServerProcess, pki: Pki, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{key_of('cook')}\n")
    with worker(server, pki, "--api-key-file", str(file)) as process:
        await ended(server, pki)
        assert await process.stops() == 0


async def test_p24_it_works_on_when_its_tokens_expire(
    server: ServerProcess, pki: Pki, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    renew(file)
    until = time.monotonic() + LIVES * LIFE_SECONDS
    with worker(server, pki, "--token-file", str(file)) as process:
        while time.monotonic() < until:
            await ended(server, pki)
            renew(file)
        assert process.is_running()
        assert await process.stops() == 0


@pytest.mark.parametrize(
    ("key", "why"),
    [("shop", "worker"), ("nobody", "not valid"), (None, "credentials")],
    ids=["of another role", "unknown", "none"],
)
async def test_p24_who_may_not_work_is_told_and_ends(
    server: ServerProcess, pki: Pki, tmp_path: Path, key: str | None, why: str
) -> None:
    file = tmp_path / "key"
    file.write_text(key_of(key or ""))
    with worker(server, pki, *(("--api-key-file", str(file)) if key else ())) as process:
        assert await asyncio.to_thread(process.exit_code) == 77
    assert why in str(process.events()[-1])
