"""Files that are read again when they change; of a bad one nothing is taken."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orderintake_server.errors import StartupFailed
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

LOOK_SECONDS = 5.0
"""How often is looked whether a file changed; that takes 2 us a file."""

_T = TypeVar("_T")
_Look = tuple[tuple[int, ...] | None, ...]

log = get_logger()


class BadFile(ValueError):
    """What is in a file cannot be used. The text names places and fields, and never a value."""


class Watched(Generic[_T]):
    """What was read from one or more files that belong together, such as a certificate and its key.

    `value` is what was read last; the counters are for the metrics.
    """

    value: _T

    def __init__(self, what: str, paths: Sequence[Path], load: Callable[[], _T]) -> None:
        """Read by `load`, in a thread, what these files hold; `what` is its name in the log.

        `load` raises BadFile for contents that cannot be used.
        """
        self.on_change: Callable[[_T], object] = lambda _: None
        """Called in the event loop with each new value, after `value` was set."""
        self.accepted = 0
        self.refused = 0
        self.what = what
        self._paths = tuple(paths)
        self._load = load
        self._seen: _Look | None = None
        self._refusal: tuple[_Look, str] | None = None

    async def open(self) -> None:
        """Read the files for the first time. Raises StartupFailed when they cannot be used."""
        self._seen, value, error = await asyncio.to_thread(self._read)
        if error is not None:
            raise StartupFailed(f"{self.what}: {self._named()}: {_told(error)}")
        self.value = value

    async def look(self) -> None:
        """Read the files again if they changed since they were read last, or could not be read."""
        if await asyncio.to_thread(_look, self._paths) != self._seen:
            await self.reload()

    async def reload(self) -> None:
        """Read the files again. When they cannot be used, say so once, and keep what was read."""
        look, value, error = await asyncio.to_thread(self._read)
        self._seen = look
        if error is not None:
            self._refuse(look, error)
            return
        self._refusal = None
        self.accepted += 1
        self.value = value
        self.on_change(value)
        log.info("a file was read again", what=self.what, file=self._named())

    def _refuse(self, look: _Look, error: Exception) -> None:
        """Tell, once, why the files are refused."""
        if isinstance(error, OSError):
            self._seen = None  # it may pass without a change of the files, as a lack of descriptors
        if self._refusal == (look, _told(error)):
            return
        self._refusal = (look, _told(error))
        self.refused += 1
        log.error(
            "a file is refused; what was read before stays",
            what=self.what,
            file=self._named(),
            error=_told(error),
        )

    def _read(self) -> tuple[_Look, Any, Exception | None]:
        """Return how the files look, then what they hold or why it cannot be used."""
        look = _look(self._paths)  # before: what changes meanwhile is seen at the next look
        try:
            return look, self._load(), None
        except Exception as error:  # noqa: BLE001 - a file is foreign, and so is what parses it
            return look, None, error

    def _named(self) -> str:
        return ", ".join(map(str, self._paths))


class WatchedFiles:
    """All files that are watched, and the one task that looks at them."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._watched: list[Watched[Any]] = []
        self._asked = asyncio.Event()

    async def watch(self, what: str, paths: Sequence[Path], load: Callable[[], _T]) -> Watched[_T]:
        """Read files, and from now on whenever they change. Raises StartupFailed as `open` does."""
        watched = Watched(what, paths, load)
        await watched.open()
        self._watched.append(watched)
        return watched

    def reloads(self, what: str) -> dict[str, int]:
        """Return how often files of this name were read again, by result; for the metrics."""
        found = [each for each in self._watched if each.what == what]
        return {
            "accepted": sum(each.accepted for each in found),
            "refused": sum(each.refused for each in found),
        }

    def look_now(self) -> bool:
        """Let the task look at once. Return whether there is any file to look at."""
        self._asked.set()
        return bool(self._watched)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look every five seconds, and when asked, while inside."""
        task = asyncio.create_task(self._run(), name="watched-files")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            await self._look()

    async def _look(self) -> None:
        try:
            for watched in self._watched:
                await watched.look()
        except (RuntimeError, MemoryError) as error:  # there is no thread to be had
            log.warning("files could not be looked at", error=str(error))


def _look(paths: Sequence[Path]) -> _Look:
    """Return what tells whether files changed: each one's place, times and size."""
    return tuple(map(_look_at, paths))


def _look_at(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _told(error: Exception) -> str:
    """Return what may be told of an error: nothing that stands in the file."""
    if isinstance(error, BadFile):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
