"""Keys and tokens on a real process: streams end with their right, and go on by their cursor."""

import asyncio
import json
from pathlib import Path
from signal import SIGHUP

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.clock import Clock
from support.callers import Metadata, bearing, entry, key_of, write_access
from support.in_process import Stub
from support.issuer import ISSUER, Key, claims, write_jwks
from support.orders import order
from support.process import run_to_end, serving_process
from support.refusals import Refused, refusal_of, refused

EC = Key("ec")
SHOP = bearing(key_of("shop"))
KEYS = ("shop", "customer"), ("first", "subscriber"), ("second", "subscriber")


class Reader:
    """Reads completions, with credentials as long as they hold, and then with the next ones."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._cursor = ""
        self.sequences: list[int] = []
        self.grown = asyncio.Event()

    async def read(self, metadata: Metadata) -> Refused:
        """Go on after the last cursor until the stream is refused; tell how."""
        stream = self._stub.StreamCompletions(
            api.StreamCompletionsRequest(
                after_cursor=self._cursor, heartbeat_interval=Duration(seconds=1)
            ),
            metadata=metadata,
        )
        try:
            async for message in stream:
                self._cursor = message.cursor
                self.sequences += [each.sequence for each in message.completions]
                self.grown.set()
        except grpc.aio.AioRpcError as ended:
            return refused(ended)
        raise AssertionError("the stream ended without a refusal")

    async def reaches(self, sequence: int) -> None:
        """Wait until it has read so far."""
        while not self.sequences or self.sequences[-1] < sequence:
            self.grown.clear()
            await self.grown.wait()


async def place(stub: Stub, count: int) -> None:
    for _ in range(count):
        await stub.PlaceOrder(order(), metadata=SHOP)


def access_of(path: Path, *names: str) -> Path:
    """Write a file in which the shop and these have keys."""
    entries = [entry("shop", "customer", customer="*")]
    return write_access(path, [*entries, *(entry(name, "subscriber") for name in names)])


def assert_whole(reader: Reader, count: int) -> None:
    assert reader.sequences == list(range(1, count + 1))


@pytest.mark.seconds
async def test_a_stream_ends_with_its_key_and_goes_on_with_another(tmp_path: Path) -> None:
    path = access_of(tmp_path / "access.toml", "first", "second")
    async with serving_process(tmp_path, "--access", str(path)) as (server, stub):
        assert server.log[1]["callers"] == "known"
        reader = Reader(stub)
        reading = asyncio.create_task(reader.read(bearing(key_of("first"))))
        await place(stub, 20)
        await reader.reaches(20)
        assert run_to_end("keys", "remove", "first", "--access", str(path)).returncode == 0
        server.signal(SIGHUP)
        await asyncio.to_thread(server.wait_for, "SIGHUP: files are read again if they changed")
        ended = await reading  # no order was placed: a heartbeat noticed it
        assert (ended.reason, ended.metadata) == ("UNAUTHENTICATED", {"problem": "EXPIRED"})
        assert (await reader.read(bearing(key_of("first")))).metadata == {"problem": "INVALID"}
        await place(stub, 20)
        reading = asyncio.create_task(reader.read(bearing(key_of("second"))))
        await reader.reaches(40)
        reading.cancel()
        assert_whole(reader, 40)
        assert await server.stops() == 0
        assert "oik_" not in json.dumps(server.log)


@pytest.mark.seconds
async def test_a_stream_ends_with_its_token_under_load_and_goes_on_with_the_next(
    tmp_path: Path,
) -> None:
    access = access_of(tmp_path / "access.toml")
    keys = write_jwks(tmp_path / "keys.json", EC)
    arguments = ("--access", str(access), "--jwt-keys", str(keys), "--jwt-issuer", ISSUER)
    async with serving_process(tmp_path, *arguments, "--jwt-leeway", "0") as (server, stub):
        reader = Reader(stub)
        placing = asyncio.create_task(place(stub, 300))
        ends: list[dict[str, str]] = []
        while len(ends) < 2:
            ends.append((await reader.read(token(life=2))).metadata)
        await placing
        reading = asyncio.create_task(reader.read(token(life=3_600)))
        await reader.reaches(300)
        reading.cancel()
        assert ends == [{"problem": "EXPIRED"}] * 2
        assert_whole(reader, 300)
        assert await server.stops() == 0
        assert "eyJ" not in json.dumps(server.log)


def token(life: float) -> Metadata:
    """Give a subscriber's token that begins to live now."""
    return bearing(EC.sign(claims(Clock()() / 1e6, life=life, roles="subscriber")))


@pytest.mark.seconds
async def test_a_file_that_changes_is_seen_without_a_signal_and_a_bad_one_changes_nothing(
    tmp_path: Path,
) -> None:
    path = access_of(tmp_path / "access.toml", "first")
    async with serving_process(tmp_path, "--access", str(path)) as (server, stub):
        first = bearing(key_of("first"))
        write_access(path, ["[first]\nsha256 = 7\n"])
        told = await asyncio.to_thread(
            server.wait_for, "a file is refused; what was read before stays"
        )
        assert told["error"] == "first: roles: must be a list of at least one"
        await stub.ListCompletions(api.ListCompletionsRequest(), metadata=first)
        access_of(path, "second")
        await asyncio.to_thread(server.wait_for, "a file was read again")
        found = await refusal_of(stub.ListCompletions(api.ListCompletionsRequest(), metadata=first))
        assert found.metadata == {"problem": "INVALID"}
        second = bearing(key_of("second"))
        await stub.ListCompletions(api.ListCompletionsRequest(), metadata=second)
        assert server.is_running()


BAD_STARTS = {
    "no issuer": (("--jwt-keys", "keys.json"), "jwt_keys: needs jwt_issuer too"),
    "no file": (("--access", "nowhere"), "access: nowhere: No such file or directory"),
    "a bad file": (("--access", "bad"), "access: bad: others than its owner may write it"),
    "a bad key": (
        ("--jwt-keys", "bad", "--jwt-issuer", ISSUER),
        "jwt_keys: bad: is neither a JWKS nor a public key in the form of PEM",
    ),
}


@pytest.mark.seconds
@pytest.mark.parametrize("name", BAD_STARTS)
def test_a_server_that_cannot_know_its_callers_does_not_start(tmp_path: Path, name: str) -> None:
    arguments, told = BAD_STARTS[name]
    (tmp_path / "bad").write_text("secret")
    (tmp_path / "bad").chmod(0o666)
    given = [str(tmp_path / each) if each in {"bad", "keys.json"} else each for each in arguments]
    write_jwks(tmp_path / "keys.json", EC)
    ended = run_to_end(*given)
    assert ended.returncode == 1
    assert told in ended.stderr.replace(f"{tmp_path}/", "")
    assert "secret" not in ended.stderr


@pytest.mark.seconds
def test_tokens_need_an_extra_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "jwt.py").write_text("raise ModuleNotFoundError('no jwt', name='jwt')")
    keys = write_jwks(tmp_path / "keys.json", EC)
    arguments = ("--jwt-keys", str(keys), "--jwt-issuer", ISSUER)
    ended = run_to_end(*arguments, env={"PYTHONPATH": str(tmp_path)})
    assert ended.returncode == 1
    assert "pip install 'orderintake-server[jwt]'" in ended.stderr
