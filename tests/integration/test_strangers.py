"""Strangers: broken credentials open no method, and what they send is not even waited for."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from orderintake_server.clock import Clock
from orderintake_server.config import watched
from support.callers import Metadata, bearing, entry, key_of, write_access
from support.every_method import EVERY, OPEN, Told, call
from support.hostile_peer import peer
from support.in_process import listening
from support.issuer import ISSUER, Key, claims, raw, write_jwks
from support.logs import capture_logs

EC = Key("ec")
SECONDS = Clock()() / 1e6
LISTING = "/orderintake.v1.OrderIntakeService/ListOrders"


def broken() -> dict[str, tuple[Metadata, str]]:
    """Give credentials that are none, and what their sender is told."""
    good = EC.sign(claims(SECONDS))
    return {
        "none": ((), "MISSING"),
        "an unknown key": (bearing(key_of("stranger")), "INVALID"),
        "two keys": (bearing(key_of("shop")) * 2, "INVALID"),
        "another scheme": ((("authorization", f"Basic {key_of('shop')}"),), "INVALID"),
        "half a token": (bearing(good[:-20]), "INVALID"),
        "an unsigned token": (bearing(raw({"alg": "none"}, claims(SECONDS), b"")), "INVALID"),
        "a token that has ended": (bearing(EC.sign(claims(SECONDS, life=-60))), "EXPIRED"),
        "a token for others": (bearing(EC.sign(claims(SECONDS, aud="others"))), "INVALID"),
        "a token of another issuer": (bearing(Key("evil").sign(claims(SECONDS))), "INVALID"),
        "a token of 7,000 bytes": (bearing("x" * 7_000), "INVALID"),
    }


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    access = write_access(tmp_path / "access.toml", [entry("shop", "customer", customer="*")])
    keys = write_jwks(tmp_path / "keys.json", EC)
    async with listening(tmp_path / "data", access=access, jwt_keys=keys, jwt_issuer=ISSUER) as (
        opened,
        _,
    ):
        yield opened


async def test_broken_credentials_open_no_method(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for name, (metadata, problem) in broken().items():
            for path in EVERY:
                told = await call(channel, path, b"\xff", metadata)
                if path in OPEN:
                    assert told.outcome != "UNAUTHENTICATED", (name, path)
                    continue
                assert told.code is grpc.StatusCode.UNAUTHENTICATED, (name, path)
                assert told.info.reason == "UNAUTHENTICATED"
                assert dict(told.info.metadata) == {"problem": problem}, (name, path)


async def test_a_stranger_is_refused_before_its_message_comes(address: str) -> None:
    await asyncio.gather(*(_is_refused(address, *each) for each in broken().values()))


async def _is_refused(address: str, metadata: Metadata, problem: str) -> None:
    """Begin a call of each method, and never say what it wants."""
    async with peer(address) as stranger:
        for stream in [stranger.begin(path, *metadata) for path in set(EVERY) - OPEN]:
            answer = await stranger.answer(stream)
            assert answer.headers["grpc-status"] == "16"
            details = base64.b64decode(answer.headers["grpc-status-details-bin"] + "==")
            info = Told(grpc.StatusCode.UNAUTHENTICATED, details=details).info
            assert (info.reason, info.metadata["problem"]) == ("UNAUTHENTICATED", problem)


async def test_neither_log_nor_status_holds_anything_of_credentials(address: str) -> None:
    canaries = {
        part
        for metadata, _ in broken().values()
        for _, value in metadata
        for part in value.removeprefix("Bearer ").removeprefix("Basic ").split(".")
        if part
    }
    with capture_logs() as log:
        async with grpc.aio.insecure_channel(address) as channel:
            for metadata, _ in broken().values():
                told = await call(channel, LISTING, b"", metadata)
                assert not any(each.encode() in told.details for each in canaries)
                assert not any(each in told.text for each in canaries)
    assert [entry["event"] for entry in log] == [
        "a call was refused: its caller is not known"
    ] * len(broken())
    assert all(entry["peer"].startswith("ipv4:127.0.0.1:") for entry in log)
    assert not any(each in repr(log) for each in canaries)


async def test_a_known_caller_is_let_in_by_key_and_by_token(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for token in (key_of("shop"), EC.sign(claims(SECONDS))):
            told = await call(channel, LISTING, b"", bearing(token))
            assert told.outcome == "OK"


@pytest.mark.seconds
async def test_keys_change_while_a_thousand_calls_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens of a key that is in the file before and after a change are never refused."""
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.01)
    first, second, third = keys = Key("first"), Key("second"), Key("third")
    path = write_jwks(tmp_path / "keys.json", first, second)
    token = {key.kid: bearing(key.sign(claims(SECONDS))) for key in keys}
    async with (
        listening(tmp_path / "data", jwt_keys=path, jwt_issuer=ISSUER) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):

        async def outcomes(kid: str, count: int) -> set[str]:
            asked = [call(channel, LISTING, b"", token[kid]) for _ in range(count)]
            return {told.outcome for told in await asyncio.gather(*asked)}

        async def until(kid: str, outcome: str) -> None:
            while await outcomes(kid, 1) != {outcome}:
                pass

        assert await outcomes("third", 1) == {"UNAUTHENTICATED"}
        calls = asyncio.create_task(outcomes("second", 1_000))
        await asyncio.to_thread(write_jwks, path, second, third)
        await until("third", "OK")
        await until("first", "UNAUTHENTICATED")
        assert await calls == {"OK"}
