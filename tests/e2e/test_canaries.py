"""Keys and tokens, good ones and broken ones, are nowhere but where their caller put them."""

import asyncio
import http.client
import time
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from support.callers import bearing, entry, key_of, write_access
from support.every_method import EVERY, call
from support.in_process import Stub
from support.issuer import ISSUER, Key, claims, raw, write_jwks
from support.orders import order
from support.process import server_process
from support.program import free_port

EC = Key("canary")
CANARY = "Canary7Bird"
"""Stands in those that are made up."""


def secrets() -> dict[str, str]:
    """Give what a caller may present."""
    good = EC.sign(claims(time.time()))
    header, payload, signature = good.split(".")
    return {
        "a key": key_of("shop"),
        "a key that is unknown": f"oik_{CANARY}",
        "a token": good,
        "a token of yesterday": EC.sign(claims(time.time() - 100_000)),
        "a token of somebody else": Key("other").sign(claims(time.time(), sub=CANARY)),
        "a token with another's signature": f"{header}.{payload}.{signature[::-1]}",
        "a token of junk": raw({"alg": CANARY, "kid": CANARY}, {"sub": CANARY}),
        "no token": CANARY,
    }


def pieces(secret: str) -> set[str]:
    """Give what nobody may find of a secret: its parts, as long as they tell something."""
    return {part for part in secret.removeprefix("oik_").split(".") if len(part) > 8}


async def call_all(channel: grpc.aio.Channel, presented: dict[str, str]) -> str:
    """Call every method with every secret; give all that callers are told."""
    told: list[str] = []
    for secret in presented.values():
        for path in (*EVERY, "/no/Thing"):
            answer = await call(channel, path, b"", bearing(secret))
            told.append(f"{answer.text} {answer.details!r}")
    return "\n".join(told)


def scrape(port: int, secret: str) -> str:
    """Read the metrics, and a page that there is not, with a secret."""
    told = ""
    for path in ("/metrics", "/no/such/page"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        told += str(answer.headers) + answer.read().decode()
        connection.close()
    return told


def command_line(pid: int) -> str:
    """Give what `ps` shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


async def fail(channel: grpc.aio.Channel, key: str) -> str:
    """Place an order whose handler raises a secret; give all that is told of it."""
    stub = Stub(channel)
    placed = await stub.PlaceOrder(order(customer_id="ada"), metadata=bearing(key))
    told = str(placed)
    stream = stub.StreamCompletions(api.StreamCompletionsRequest(), metadata=bearing(key))
    async for message in stream:
        told += str(message)
        if message.completions:
            stream.cancel()
            return told
    raise AssertionError(told)


@pytest.mark.seconds
@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_key_and_no_token_is_told_to_anybody(form: str, tmp_path: Path) -> None:
    presented, spans, port = secrets(), tmp_path / "spans", free_port()
    roles = ("customer", "vip", "subscriber", "observer", "operator")
    access = write_access(tmp_path / "access.toml", [entry("shop", *roles, customer="*")])
    keys = write_jwks(tmp_path / "keys.json", EC)
    where = f"unix:{tmp_path}/socket"
    with server_process(
        tmp_path / "data",
        *("--access", str(access), "--jwt-keys", str(keys), "--jwt-issuer", ISSUER),
        *("--http", f"127.0.0.1:{port}", "--listen", where, "--log-level", "debug"),
        *("--max-attempts", "1", "--log-format", form, "--handler", "support.traced_shop:bake"),
        env={"SPANS_FILE": str(spans), "SHOPS_SECRET": presented["a token"]},
        waits=False,
    ) as server:
        async with grpc.aio.insecure_channel(where) as channel:
            await channel.channel_ready()
            told = {"callers": await call_all(channel, presented)}
            told["caller of an order"] = await fail(channel, key_of("shop"))
            told["readers of metrics"] = await asyncio.to_thread(
                lambda: "".join(scrape(port, secret) for secret in presented.values())
            )
            told["ps"] = await asyncio.to_thread(command_line, server.pid)
        assert await server.stops() == 0
        told["the log"] = "\n".join(map(str, server.log))
    told["traces"] = spans.read_text()
    wanted = set().union(*map(pieces, presented.values()))
    found = {(who, piece) for who, text in told.items() for piece in wanted if piece in text}
    assert found == set()
    assert_all_was_told(told)


def assert_all_was_told(told: dict[str, str]) -> None:
    """See that each of them was told what it should be, and that the secrets were replaced."""
    assert "UNAUTHENTICATED" in told["callers"]
    assert "ConnectionError (incident " in told["caller of an order"]
    assert "orderintake_rpc_calls_total" in told["readers of metrics"]
    assert "--access" in told["ps"]
    assert '"name": "orderintake.v1.OrderIntakeService/PlaceOrder"' in told["traces"]
    assert '"name": "process"' in told["traces"]
    for event in (
        "call",
        "attempt failed",
        "calling with",
        "sent [redacted]",
        "from C: [redacted]",
    ):
        assert event in told["the log"]
    assert told["the log"].count("[redacted]") >= 4
