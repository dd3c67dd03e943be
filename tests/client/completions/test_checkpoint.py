"""A cursor on disk: whole at any moment, after what was handled, never further."""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from client.blocking import Connect
from client.fake_server import FakeServer
from orderintake import Completion, FileCheckpoint


class Kept(FileCheckpoint):
    """A checkpoint that tells what it was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saved: list[str] = []

    def save(self, cursor: str) -> None:
        super().save(cursor)
        self.saved.append(cursor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cursor"


def test_a_file_that_is_not_there_holds_no_cursor(path: Path) -> None:
    assert FileCheckpoint(path).load() is None


def test_what_was_saved_last_is_loaded(path: Path) -> None:
    for cursor in ("c1", "AQhk-_x9"):
        FileCheckpoint(path).save(cursor)
        assert FileCheckpoint(str(path)).load() == cursor
    assert [each.name for each in path.parent.iterdir()] == ["cursor"]


@pytest.mark.parametrize("content", ["", "c1", "\n", "c1\nc2\n", "c1\0\n", "\xff\n"])
def test_a_garbled_file_is_refused_by_name_and_never_taken_for_a_beginning(
    path: Path, content: str
) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=str(path)):
        FileCheckpoint(path).load()


@pytest.mark.parametrize("cursor", ["", "two\nlines", "\u00e9"])
def test_what_is_no_cursor_is_not_saved(path: Path, cursor: str) -> None:
    FileCheckpoint(path).save("c1")
    with pytest.raises(ValueError, match="no cursor"):
        FileCheckpoint(path).save(cursor)
    assert FileCheckpoint(path).load() == "c1"


def test_a_save_that_is_cut_short_leaves_the_cursor_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileCheckpoint(path).save("c1")

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        FileCheckpoint(path).save("c2")
    assert FileCheckpoint(path).load() == "c1"


def each(completions: Any, count: int) -> list[int]:  # noqa: ANN401 - of either client
    return [completion.sequence for completion in islice(completions, count)]


def by_batch(completions: Any, count: int) -> list[int]:  # noqa: ANN401 - of either client
    found: list[int] = []
    for batch in completions.batches():
        found += [completion.sequence for completion in batch.completions]
        if len(found) >= count:
            break
    return found


WAYS = pytest.mark.parametrize("way", [each, by_batch])
Way = Callable[[Any, int], list[int]]


@WAYS
def test_a_subscriber_that_returns_goes_on_after_what_it_handled(
    server: FakeServer, connect: Connect, path: Path, way: Way
) -> None:
    seen: list[int] = []
    for _ in range(3):
        server.servicer.complete(4)
        with (
            connect(server.target) as client,
            client.completions(checkpoint=FileCheckpoint(path)) as completions,
        ):
            seen += way(completions, 4)
    assert seen == list(range(1, 13))
    assert path.read_text() == "c12\n"


def test_a_program_that_fails_handles_the_same_completion_again(
    server: FakeServer, connect: Connect, path: Path
) -> None:
    def handle(completions: Iterable[Completion]) -> None:
        for completion in completions:
            if completion.sequence == 3:
                raise LookupError

    server.servicer.complete(5)
    with connect(server.target) as client:
        with (
            pytest.raises(LookupError),
            client.completions(checkpoint=FileCheckpoint(path)) as completions,
        ):
            handle(completions)
        assert path.read_text() == "c2\n"
        with client.completions(checkpoint=FileCheckpoint(path)) as completions:
            assert each(completions, 3) == [3, 4, 5]


def test_the_cursor_is_stored_once_for_all_that_came_together(
    server: FakeServer, connect: Connect, path: Path
) -> None:
    kept = Kept(path)
    server.servicer.complete(6)
    with (
        connect(server.target) as client,
        client.completions(checkpoint=kept, max_batch_size=3) as completions,
    ):
        assert kept.saved == ["c0"]
        assert each(completions, 6) == [1, 2, 3, 4, 5, 6]
        assert kept.saved == ["c0", "c3"]
    assert kept.saved == ["c0", "c3", "c6"]


def test_from_latest_is_where_it_began_the_first_time(
    server: FakeServer, connect: Connect, path: Path
) -> None:
    server.servicer.complete(3)
    with connect(server.target) as client:
        with client.completions(from_latest=True, checkpoint=FileCheckpoint(path)):
            pass
        server.servicer.complete(2)
        with client.completions(from_latest=True, checkpoint=FileCheckpoint(path)) as completions:
            assert each(completions, 2) == [4, 5]


def test_a_garbled_checkpoint_is_raised_before_anything_is_asked(
    server: FakeServer, connect: Connect, path: Path
) -> None:
    path.write_text("")
    with (
        connect(server.target) as client,
        pytest.raises(ValueError, match="checkpoint"),
        client.completions(checkpoint=FileCheckpoint(path)),
    ):
        pass
    assert server.servicer.requests == []


def test_a_checkpoint_that_cannot_store_is_raised_to_who_asks_for_more(
    server: FakeServer, connect: Connect, path: Path
) -> None:
    class Full(FileCheckpoint):
        def save(self, cursor: str) -> None:
            if cursor != "c0":
                raise OSError("no space left")

    server.servicer.complete(1)
    with (
        connect(server.target) as client,
        pytest.raises(OSError, match="no space left"),
        client.completions(checkpoint=Full(path)) as completions,
    ):
        each(completions, 2)


def test_batches_hold_what_came_together_and_end_with_the_stream(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(5)
    with (
        connect(server.target) as client,
        client.completions(max_batch_size=2) as completions,
    ):
        batches = completions.batches()
        found = [next(batches) for _ in range(3)]
        completions.close()
        assert list(batches) == []
    assert [[c.sequence for c in batch.completions] for batch in found] == [[1, 2], [3, 4], [5]]
    assert [batch.cursor for batch in found] == ["c2", "c4", "c5"]


def test_filters_are_asked_of_the_server(server: FakeServer, connect: Connect) -> None:
    with (
        connect(server.target) as client,
        client.completions(customer_id="ada", tier=2),
    ):
        pass
    (request,) = server.servicer.requests
    assert (request.customer_id, request.tier) == ("ada", 2)
