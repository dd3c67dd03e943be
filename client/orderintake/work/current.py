"""Which attempt the code that runs here belongs to, for what it logs."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake.work.attempt import OrderAttempt

CURRENT: ContextVar[OrderAttempt | None] = ContextVar("attempt", default=None)
"""The attempt; its handler's threads and tasks have it too."""
_TRACE_ID = slice(3, 35)
"""Where the id of a trace is in a `traceparent`."""


class AttemptInLog(logging.Filter):
    """Names the order in what its handler logs: order_id, customer_id, attempt, trace_id.

    Add it to a handler of logging's, as `orderintake worker` does, and use the names in its format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields to the record; keep every record."""
        if order := CURRENT.get():
            record.order_id = order.order_id
            record.customer_id = order.customer_id
            record.attempt = order.attempt
            if order.traceparent:
                record.trace_id = order.traceparent[_TRACE_ID]
        return True
