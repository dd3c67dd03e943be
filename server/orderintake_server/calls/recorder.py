"""What is kept of each call: its numbers, its span, and its line in the access log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger, writes
from orderintake_server.metrics import Calls
from orderintake_server.telemetry.about import ABOUT
from orderintake_server.telemetry.spans import NoSpans

if TYPE_CHECKING:
    from orderintake_server.api.refusals import ErrorReply
    from orderintake_server.metrics import Meter
    from orderintake_server.metrics.calls import MethodCalls
    from orderintake_server.telemetry.spans import Spans

access_log = get_logger(each_counts=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Where it is kept, whatever the method."""

    calls: Calls = field(default_factory=Calls)
    spans: Spans = field(default_factory=NoSpans)
    level: int | None = logging.DEBUG
    """Of the lines in the access log; None: there are none."""

    def of(self, method: str, meter: Meter, *, is_traced: bool) -> MethodRecorder:
        """Return what records the calls of a method."""
        spans = self.spans if is_traced else NoSpans()
        return MethodRecorder(self, method, self.calls.of(method, meter), spans)


class MethodRecorder:
    """Records the calls of one method."""

    def __init__(self, recorder: Recorder, method: str, counts: MethodCalls, spans: Spans) -> None:
        """Count in `counts`."""
        self.recorder = recorder
        self.method = method
        self.counts = counts
        self.spans = spans
        self.begin = partial(Record, self)
        """Records a call that begins in its caller's trace context, or in none."""


class Record:
    """One call; what the log is told during it has the fields `about`."""

    __slots__ = ("_began", "_method", "about", "code", "span", "trace")

    def __init__(self, method: MethodRecorder, parent: bytes | None) -> None:
        """Begin it."""
        self._method = method
        self._began = method.counts.begin()
        self.code = "OK"
        self.span = method.spans.call(method.method, parent)
        self.trace = self.span.trace or parent
        """The trace context in which the call does what it does."""
        self.about: dict[str, object] = {"method": method.method, "trace": self.trace}
        ABOUT.set(self.about)

    def failed(self, error: BaseException) -> None:
        """Note what was raised, if it ends a stream."""
        self._method.counts.failed(error)

    def refused(self, reply: ErrorReply, code: str, error: BaseException) -> None:
        """Note what the caller is told of an error."""
        self.code = code
        self.about |= {"reason": reply.reason.value, "incident_id": reply.incident_id}
        self._method.recorder.calls.refused(reply.reason, error)

    def end(self) -> None:
        """End it."""
        seconds = self._method.counts.end(self._began, self.code)
        self.span.end_call(self.code)
        level = self._method.recorder.level
        if level is not None and writes(level):
            access_log.log(level, "call", code=self.code, milliseconds=round(seconds * 1_000, 3))
        ABOUT.set(None)
