"""How an entry of the log becomes a line: a constant text, and fields for what varies."""

from __future__ import annotations

import sys
import textwrap
from contextvars import ContextVar
from io import StringIO
from typing import TYPE_CHECKING

import structlog

from orderintake_server import logger
from orderintake_server.telemetry import traces
from orderintake_server.telemetry.about import ABOUT
from orderintake_server.telemetry.folding import Folding
from orderintake_server.telemetry.redaction import redacted
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TextIO

    from structlog.typing import EventDict, ExcInfo, Processor

ORDER_ID: ContextVar[Callable[[int], str] | None] = ContextVar("order_id", default=None)
"""Returns the order_id for an accept_sequence. It is known once the store is open."""
_WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Local variables are left out: one may hold an order, which must not get into a log."""
ALWAYS: list[Callable[[], dict[str, object]]] = []
"""What gives fields to each entry of the process, in whichever thread it is made."""
UNWRITABLE = "a log entry could not be put into words"
_PLAIN = {str, int, float, bool, type(None)}
"""Types of values that run no foreign code when they are put into words."""


def configure_log(
    *,
    form: str,
    level: str,
    write: Callable[[str], object] | None = None,
    has_colors: bool = False,
) -> None:
    """Write this process's log as "text" or "json", from `level` upwards.

    Each entry is given to `write`; without it, it is printed to standard error. What the service
    says again and again is folded, see `Folding`.
    """
    logger.configure(
        processor=renderer(form, has_colors=has_colors),
        before=Folding(),
        level=level,
        write=structlog.PrintLogger(sys.stderr).msg if write is None else write,
    )


def renderer(form: str, *, has_colors: bool = False) -> Processor:
    """Return what makes a line of an entry, in this form; it raises nothing, whatever is in it."""
    if form == "json":
        last: list[Processor] = [
            structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [
            _escape,
            structlog.dev.ConsoleRenderer(
                colors=has_colors, exception_formatter=_indented_traceback
            ),
        ]
    first: list[Processor] = [
        _add_call,
        _add_order_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    return _Renderer([*first, *last])


class _Renderer:
    """Makes lines of entries: the boundary to values whose own code may do anything.

    The last step is over the whole line: no key or token leaves it, also none in a traceback.
    """

    def __init__(self, steps: Sequence[Processor]) -> None:
        self._steps = steps

    def __call__(self, logger: Any, level: str, entry: EventDict) -> str:  # noqa: ANN401
        try:
            return self._render(logger, level, {**structlog.contextvars.get_contextvars(), **entry})
        except BaseException as error:  # noqa: BLE001 - a value's own code raised it, of any class
            plain = {name: value for name, value in entry.items() if type(value) in _PLAIN}
            plain.setdefault("event", UNWRITABLE)
            return self._render(logger, level, plain | {"unwritable": type(error).__name__})

    def _render(self, logger: Any, level: str, entry: EventDict) -> str:  # noqa: ANN401
        rendered: Any = entry
        for step in self._steps:
            rendered = step(logger, level, rendered)
        return redacted(str(rendered))


def _escape(_: object, __: str, entry: EventDict) -> EventDict:
    """Escape what is not printable, so that no value forges a line or speaks to a terminal."""
    return {name: _escaped(name, value) for name, value in entry.items()}


def _escaped(name: str, value: Any) -> Any:  # noqa: ANN401 - a field of any type
    if name == "exc_info":
        return value
    if name in {"stack", "exception"}:
        return _indented(str(value))
    text = value if type(value) is str else repr(value)
    clean = escaped(text)
    return value if clean == text else clean


def _indented_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback below its entry, indented: only entries begin at a line's first column."""
    written = StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    out.write(_indented(written.getvalue()))


def _indented(text: str) -> str:
    clean = escaped(text, may_have_lines=True)
    return "\n" + textwrap.indent(clean.strip("\n"), "  ", lambda _: True)


def _add_call(_: object, __: str, entry: EventDict) -> EventDict:
    """Add what the entry is about besides: the process, and the call during which it is made."""
    about = dict(ABOUT.get() or {})
    for fields in ALWAYS:
        about |= fields()
    trace = about.pop("trace", None)
    if isinstance(trace, bytes):
        about["trace_id"] = traces.trace_id(trace)
    return {**{name: value for name, value in about.items() if value not in (None, "")}, **entry}


def _add_order_id(_: object, __: str, entry: EventDict) -> EventDict:
    """Put the order_id beside the accept_sequence, in each entry that tells of an order."""
    order_id, number = ORDER_ID.get(), entry.get("accept_sequence")
    if order_id is not None and type(number) is int:
        entry.setdefault("order_id", order_id(number))
    return entry
