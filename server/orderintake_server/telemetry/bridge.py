"""What Python's own logging is told, by libraries and by handlers, as entries of our log."""

from __future__ import annotations

import logging

from orderintake_server.logger import get_logger

_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"} | {
    *("event", "level", "logger", "timestamp")
}
"""Fields of every record, and of every entry: what else a record has, its caller gave it."""

log = get_logger()


class Bridge(logging.Handler):
    """Passes what is logged by Python's own logging on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an entry of ours, with the name of its logger and its extra fields."""
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        if record.stack_info:
            fields["stack"] = record.stack_info
        log.log(_level(record.levelno), _message(record), logger=record.name, **fields)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException:  # noqa: BLE001 - an argument's own code raised it, of any class
        return str(record.msg) if type(record.msg) is str else type(record.msg).__name__


def _level(number: int) -> int:
    """Return the nearest of the usual levels that is not above this one."""
    return max(logging.DEBUG, min(number // 10 * 10, logging.CRITICAL))
