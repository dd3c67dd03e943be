"""The entries of the service's log, caught."""

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import LogCapture
from structlog.typing import EventDict

from orderintake_server import logger


@contextmanager
def capture_logs() -> Iterator[list[EventDict]]:
    """Give the list that entries go to, in place of the log, while inside."""
    captured, kept = LogCapture(), logger._processors[:]  # noqa: SLF001
    logger._processors[:] = [captured]  # noqa: SLF001
    try:
        yield captured.entries
    finally:
        logger._processors[:] = kept  # noqa: SLF001
