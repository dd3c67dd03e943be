"""The log of a worker's process, on standard error: what is said, and fields for what varies."""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

from orderintake.work.contained import tried
from orderintake.work.current import AttemptInLog

_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""Fields of every record: what else one has, its caller gave it."""
_UNTOLD = "<a value that cannot be told>"


def configure(*, form: str, level: str) -> None:
    """Write what is logged as "text" or "json", from `level` upwards."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    handler.addFilter(AttemptInLog())
    logging.raiseExceptions = False  # who logs is not told that nobody reads the log
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


class Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Put a record into words."""
        entry = _fields(record) | {
            "event": _message(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": _time(record),
        }
        try:
            return json.dumps(entry, default=_told)
        except (TypeError, ValueError, RecursionError):  # a key that JSON has not, a circle
            return json.dumps({str(name): _plain(value) for name, value in entry.items()})


class Text(logging.Formatter):
    """A line for people; a traceback stands below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Put a record into words."""
        fields = _fields(record)
        below = str(fields.pop("exception", "")).rstrip()
        said = _escaped(_message(record))
        line = f"{_time(record)} [{record.levelname.lower():<8}] {said}"
        line += "".join(f" {name}={_value(value)}" for name, value in fields.items())
        return line + "".join(f"\n  {_escaped(each)}" for each in below.splitlines())


def _message(record: logging.LogRecord) -> str:
    return tried(record.getMessage, _UNTOLD)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in vars(record).items() if name not in _OWN}
    if record.exc_info:
        error = record.exc_info[1]
        fields["exception"] = tried(lambda: "".join(traceback.format_exception(error)), _UNTOLD)
    return fields


def _time(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03}Z"


def _value(value: object) -> str:
    text = value if type(value) is str else _told(value)
    return text if text.isprintable() and " " not in text and text else repr(text)


def _plain(value: object) -> object:
    return value if type(value) in {str, int, float, bool} else _told(value)


def _told(value: object) -> str:
    return tried(lambda: str(repr(value)), _UNTOLD)


def _escaped(text: str) -> str:
    """Escape what is not printable, so that no value forges a line or speaks to a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]
