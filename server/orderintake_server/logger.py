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
_of_each: list[Processor] = [*_processors]
"""Those of entries of which each counts."""
_kinds = [structlog.make_filtering_bound_logger(logging.INFO)]
_levels = [logging.INFO]


def configure(
    *,
    processor: Processor,
    level: str,
    write: Callable[[str], object] | None = None,
    before: Processor | None = None,
) -> None:
    """Let `processor` make a line of each entry from `level` upwards; give the lines to `write`.

    Entries of the service's own loggers pass `before` first, which may drop them. Who uses
    structlog in this process gets the same by default without that, until it is configured
    otherwise.
    """
    _processors[:] = [before, processor] if before else [processor]
    _of_each[:] = [processor]
    _levels[:] = [getattr(logging, level.upper())]
    _kinds[:] = [structlog.make_filtering_bound_logger(_levels[0])]
    _lines.write = write or print
    structlog.configure(
        processors=[processor],
        wrapper_class=_kinds[0],
        logger_factory=lambda *_: _lines,
        cache_logger_on_first_use=False,
    )


def pass_on(line: str) -> None:
    """Write a line that another process made as this one makes its own."""
    _lines.write(line)


def writes(level: int) -> bool:
    """Tell whether entries of this level are written."""
    return level >= _levels[0]


def get_logger(*, each_counts: bool = False) -> Any:  # noqa: ANN401 - as structlog's
    """Give the logger of a module of the service; it may be configured later.

    With `each_counts` its entries do not pass what may drop some that repeat others.
    """
    return structlog.wrap_logger(
        _lines,
        processors=_of_each if each_counts else _processors,
        wrapper_class=_bound,  # type: ignore[arg-type] # called as a class is
        context_class=dict,
        cache_logger_on_first_use=False,
    )


def _bound(logger: object, **parts: Any) -> Any:  # noqa: ANN401 - as structlog's
    """Bind by the level as it is now."""
    kind: Any = _kinds[0]
    return kind(logger, **parts)
