"""The log: each entry is one line, with a constant text, and fields for what varies."""

from __future__ import annotations

import logging
import sys

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
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
