"""Bodies by HTTP: what they may hold together."""

import gzip

import pytest

from orderintake_server.http import bodies
from orderintake_server.http.bodies import GZIP, Bodies
from orderintake_server.http.codes import NotServed
from orderintake_server.http.json import OneThread


async def opened(body: bytes, thread: OneThread) -> int:
    read = Bodies(thread)
    with read.room() as take:
        return len(await read.opened(body, GZIP, take))


async def test_what_is_inflated_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ALL_BYTES", 500_000)
    with pytest.raises(NotServed):
        await opened(gzip.compress(bytes(600_000)), OneThread())


def test_what_requests_hold_is_counted_as_long_as_they_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "ALL_BYTES", 150_000)
    read = Bodies(OneThread())
    with read.room() as large, read.room() as small:
        large(100_000)
        with pytest.raises(NotServed), read.room() as another:
            another(100_000)
        small(60_000)
    with read.room() as large:
        large(150_000)
