"""The service's own logger: how others configure structlog in this process does not touch it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import Processor


class _Lines:
    """Passes each line on to whoever writes the log now."""

    def __init__(self) -> None:
        self.write: Callable[[str], object] = print

    def msg(self, line: str) -> None:
        self.write(line)

    debug = info = warning = error = critical = msg


_lines = _Lines()
_processors: list[Processor] = [*structlog.get_config()["processors"]]
_kinds = [structlog.make_filtering_bound_logger(logging.INFO)]


def configure(
    *, processor: Processor, level: str, write: Callable[[str], object] | None = None
) -> None:
    """Let `processor` make a line of each entry from `level` upwards; give the lines to `write`.

    Who uses structlog in this process gets the same by default, until it is configured otherwise.
    """
    _processors[:] = [processor]
    _kinds[:] = [structlog.make_filtering_bound_logger(getattr(logging, level.upper()))]
    _lines.write = write or print
    structlog.configure(
        processors=[processor],
        wrapper_class=_kinds[0],
        logger_factory=lambda *_: _lines,
        cache_logger_on_first_use=False,
    )


def get_logger() -> Any:  # noqa: ANN401 - as structlog's
    """Give the logger of a module of the service; it may be configured later."""
    return structlog.wrap_logger(
        _lines,
        processors=_processors,
        wrapper_class=_bound,  # type: ignore[arg-type] # called as a class is
        context_class=dict,
        cache_logger_on_first_use=False,
    )


def _bound(logger: object, **parts: Any) -> Any:  # noqa: ANN401 - as structlog's
    """Bind by the level as it is now."""
    kind: Any = _kinds[0]
    return kind(logger, **parts)
