"""The one place where whatever user code raises is caught."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Contained:
    """A block around user code: nothing leaves it, and what was raised in it is kept.

    BaseException too: KeyboardInterrupt and SystemExit would end the event loop, CancelledError and
    GeneratorExit would be taken for somebody else's. Who cancels a task that waits in the block
    must look at `error`.

    A child that user code forked never comes out of the block: beyond it is the work of its parent.
    """

    __slots__ = ("_pid", "error")

    def __init__(self) -> None:
        """Begin with nothing raised."""
        self.error: BaseException | None = None
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        """Let user code run."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Keep what was raised."""
        if os.getpid() != self._pid:
            os._exit(_exit_code(error))
        self.error = error
        return True


def tried(read: Callable[[], _T], default: _T) -> _T:
    """Give what `read` returns, or `default` when it raises."""
    with Contained():
        return read()
    return default


def _exit_code(error: BaseException | None) -> int:
    """Tell how a forked child ends that comes to the end of the handler."""
    if error is None:
        return 0
    if issubclass(type(error), SystemExit):
        code = tried(lambda: error.__getattribute__("code"), 1)
        return (code & 0xFF) if type(code) is int else int(code is not None)
    tried(lambda: _log.error("a child that a handler forked raised", exc_info=error), None)
    return 1
