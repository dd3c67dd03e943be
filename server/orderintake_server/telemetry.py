"""The log: each entry is one line, with a constant text, and fields for what varies."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

_WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Local variables are left out: one may hold an order, which must not get into a log."""


def configure_log(*, form: str, level: str) -> None:
    """Write this process's log to standard error, as "text" or "json", from `level` upwards."""
    renderers: dict[str, list[structlog.typing.Processor]] = {
        "json": [
            structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(),
        ],
        "text": [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ],
    }
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _route_logging(renderers[form], level.upper())


class _Routed(logging.StreamHandler[TextIO]):
    """Writes what the standard library's `logging` is told: by handlers, and by libraries."""


def _route_logging(renderers: list[structlog.typing.Processor], level: str) -> None:
    """Let the standard library's log be written as our own is."""
    routed = _Routed(sys.stderr)
    routed.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(),
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Routed)] + [routed]
    root.setLevel(level)
