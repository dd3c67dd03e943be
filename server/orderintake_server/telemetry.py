"""The log: each entry is one line, with a constant text, and fields for what varies."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER_ID: ContextVar[Callable[[int], str] | None] = ContextVar("order_id", default=None)
"""Returns the order_id for an accept_sequence. It is known once the store is open."""

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
            _add_order_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _add_order_id(
    _: object, __: str, entry: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put the order_id beside the accept_sequence, in whatever line tells of an order."""
    order_id, number = ORDER_ID.get(), entry.get("accept_sequence")
    if order_id is not None and isinstance(number, int):
        entry.setdefault("order_id", order_id(number))
    return entry
