"""Watched files are read when they change; a bad one is told once and changes nothing."""

import asyncio
import os
from pathlib import Path

import pytest

from orderintake_server.config import watched
from orderintake_server.config.watched import BadFile, Watched, WatchedFiles
from orderintake_server.errors import StartupFailed
from support.logs import capture_logs


class File:
    """A file with a number in it, and how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.write("1")

    def write(self, text: str) -> None:
        """Put another file into its place."""
        made = self.path.with_suffix(".new")
        made.write_text(text)
        made.rename(self.path)

    def read(self) -> int:
        self.reads += 1
        text = self.path.read_text()
        if text == "bad":
            raise BadFile("holds no number")
        return int(text)

    def watched(self) -> Watched[int]:
        return Watched("number", [self.path], self.read)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "number")


async def test_a_file_is_read_when_it_changed_and_only_then(file: File) -> None:
    number = file.watched()
    await number.open()
    seen: list[int] = []
    number.on_change = seen.append
    await number.look()
    assert (number.value, file.reads, seen) == (1, 1, [])
    file.write("2")
    await number.look()
    await number.look()
    assert (number.value, file.reads, seen) == (2, 2, [2])
    assert (number.accepted, number.refused) == (1, 0)


async def test_a_change_of_who_may_read_it_is_a_change(file: File) -> None:
    number = file.watched()
    await number.open()
    file.path.chmod(0o400)
    await number.look()
    assert file.reads == 2


@pytest.mark.parametrize("bad", ["bad", "secret", None])
async def test_a_bad_file_is_told_once_and_what_was_read_stays(file: File, bad: str | None) -> None:
    number = file.watched()
    await number.open()
    if bad is None:
        file.path.unlink()
    else:
        file.write(bad)
    with capture_logs() as log:
        for _ in range(3):
            await number.look()
    (line,) = log
    assert line["log_level"] == "error"
    assert line["error"] in {"holds no number", "ValueError", "No such file or directory"}
    assert (number.value, number.refused) == (1, 1)
    file.write("3")
    await number.look()
    assert (number.value, number.accepted, number.refused) == (3, 1, 1)


async def test_a_file_that_cannot_be_read_for_now_is_read_later(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> str:
        raise OSError(24, "Too many open files")

    number = file.watched()
    await number.open()
    file.write("2")
    with monkeypatch.context() as short:
        short.setattr(Path, "read_text", lacking)
        await number.look()
        await number.look()
    assert (number.value, number.refused) == (1, 1)
    await number.look()
    assert (number.value, number.accepted) == (2, 1)


async def test_a_lack_of_threads_passes(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    files = WatchedFiles()
    number = await files.watch("number", [file.path], file.read)
    lacked, changed = asyncio.Event(), asyncio.Event()
    number.on_change = lambda _: changed.set()
    to_thread = asyncio.to_thread

    async def lacking(*_: object) -> None:
        lacked.set()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio, "to_thread", lacking)
    async with files.looking():
        file.write("2")
        files.look_now()
        await lacked.wait()
        monkeypatch.setattr(asyncio, "to_thread", to_thread)
        files.look_now()
        await changed.wait()
    assert number.value == 2


@pytest.mark.parametrize(
    ("text", "told"), [("bad", "holds no number"), ("secret", "ValueError"), ("", "ValueError")]
)
async def test_the_start_fails_for_a_bad_file_and_shows_nothing_of_it(
    file: File, text: str, told: str
) -> None:
    file.write(text)
    with pytest.raises(StartupFailed) as failed:
        await WatchedFiles().watch("number", [file.path], file.read)
    assert str(failed.value) == f"number: {file.path}: {told}"


async def test_all_files_are_looked_at_when_asked(file: File) -> None:
    files = WatchedFiles()
    assert not files.look_now()
    number = await files.watch("number", [file.path], file.read)
    changed = asyncio.Event()
    number.on_change = lambda _: changed.set()
    async with files.looking():
        file.write("2")
        assert files.look_now()
        await changed.wait()
    assert number.value == 2
    assert files.reloads("number") == {"accepted": 1, "refused": 0}
    assert files.reloads("other") == {"accepted": 0, "refused": 0}


async def test_all_files_are_looked_at_from_time_to_time(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.001)
    files = WatchedFiles()
    number = await files.watch("number", [file.path], file.read)
    changed = asyncio.Event()
    number.on_change = lambda _: changed.set()
    async with files.looking():
        file.write("2")
        await changed.wait()
    assert number.value == 2


async def test_files_that_belong_together_are_read_together(file: File, tmp_path: Path) -> None:
    other = tmp_path / "other"
    pair = Watched("pair", [file.path, other], lambda: (file.read(), other.read_text()))
    other.write_text("a")
    await pair.open()
    other.write_text("bb")
    await pair.look()
    assert pair.value == (1, "bb")


async def test_a_file_that_changes_while_it_is_read_is_read_again(file: File) -> None:
    def read() -> int:
        found = file.read()
        if found == 1:
            os.truncate(file.path, 0)
            file.write("2")
        return found

    number = Watched("number", [file.path], read)
    await number.open()
    assert number.value == 1
    await number.look()
    assert number.value == 2
