"""Bodies by HTTP: where they are inflated, and what they may hold together."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from orderintake_server.http import bodies
from orderintake_server.http.bodies import GZIP, Bodies
from orderintake_server.http.codes import NotServed
from orderintake_server.http.json import OneThread
from orderintake_server.http.json.threads import LOOP_BYTES


class Noted(OneThread):
    """A thread that notes how large its works are."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def run(self, size: int, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        self.sizes.append(size)
        return await super().run(size, function, *args)


async def opened(body: bytes, thread: OneThread) -> int:
    read = Bodies(thread)
    with read.room() as take:
        return len(await read.opened(body, GZIP, take))


@pytest.mark.parametrize(("size", "is_large"), [(100, False), (1_000_000, True)])
async def test_what_is_small_as_long_as_it_is_packed_goes_to_the_thread(
    size: int, *, is_large: bool
) -> None:
    thread, packed = Noted(), gzip.compress(bytes(size))
    assert len(packed) < LOOP_BYTES
    assert await opened(packed, thread) == size
    assert [each > LOOP_BYTES for each in thread.sizes] == [is_large]


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
