"""From whatever comes out of a handler to a few plain values: one total function."""

from __future__ import annotations

import secrets
import traceback
import unicodedata
from asyncio import CancelledError
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import Message

from orderintake.work.attempt import LONGEST_DELAY_SECONDS, Reject, Retry
from orderintake.work.contained import Contained, tried

HANDLER_ERROR = "HANDLER_ERROR"
"""The code of a failure that the handler gave no code of its own."""
RESULT_INVALID = "RESULT_INVALID"
"""The code of a failure by a result that cannot be stored."""
CODE_CHARACTERS = 64
"""A failure's code is cut here."""
MESSAGE_CHARACTERS = 1_024
"""A failure's message is cut here: the log keeps it for ever."""
REPORT_CHARACTERS = 16_384
"""What the log of the process is told of an exception is cut here."""
RESULT_BYTES = 64 * 1024
"""The largest result: with the largest order it still fits in one message of a stream."""

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the direction of what is written after them."""


class Kind(Enum):
    """How an attempt ended."""

    SUCCEEDED = "it returned a result, or none"
    FAILED = "it may be tried again"
    REJECTED = "no further attempt would help"
    RETRY = "the handler says when to try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt: text that every store and message can hold, and plain numbers."""

    kind: Kind
    result: bytes | None = None
    """An encoded Any."""
    code: str = ""
    """1 to 64 printable characters; empty for a success only."""
    message: str = ""
    """At most 1024 characters."""
    after: float | None = None
    """RETRY: so many seconds later; None: as for a failure."""
    report: str = ""
    """For the log of the process: the traceback of an exception that nobody expected."""
    incident_id: str = ""
    """By which a person who was told the message finds the report."""
    is_stopped: bool = False
    """Whether the handler ended by a cancellation, its own or somebody else's."""


_DONE = Outcome(kind=Kind.SUCCEEDED)


def outcome_of(value: object, error: BaseException | None, *, tells_text: bool) -> Outcome:
    """Give the outcome of what a handler returned or raised, whatever it is; raise nothing.

    `tells_text`: the message has the text of an exception that the handler did not mean for others;
    else its class and an incident id.
    """
    if value is None and error is None:
        return _DONE
    with Contained():
        return _of_value(value) if error is None else _of_error(error, tells_text=tells_text)
    return Outcome(
        kind=Kind.FAILED, code=HANDLER_ERROR, message="what the handler did cannot be told"
    )


def failure_of(kind: Kind, code: str, message: str, after: float | None = None) -> Outcome:
    """Give the outcome of a failure that another process tells of, clean and cut as any other.

    `after`: of a RETRY, in how many seconds there is to be another attempt.
    """
    return Outcome(
        kind=kind,
        code=tried(lambda: _code(code), HANDLER_ERROR),
        message=tried(lambda: plain(message, MESSAGE_CHARACTERS), ""),
        after=None if after is None else tried(lambda: _delay(after), None),
    )


def success_of(result: bytes | None) -> Outcome:
    """Give the outcome of a success whose result, an encoded Any, another process gives."""
    if result is not None and len(result) > RESULT_BYTES:
        return _invalid(f"{len(result)} bytes; a result has at most {RESULT_BYTES}")
    return Outcome(kind=Kind.SUCCEEDED, result=result)


def _of_error(error: BaseException, *, tells_text: bool) -> Outcome:
    """Tell what was raised. Its class alone is believed; all else of it may raise in turn."""
    kind = type(error)
    if not issubclass(kind, (Reject, Retry)):
        return _unexpected(error, tells_text=tells_text)
    said: Any = error
    return Outcome(
        kind=Kind.REJECTED if issubclass(kind, Reject) else Kind.RETRY,
        code=tried(lambda: _code(said.code), HANDLER_ERROR),
        message=tried(lambda: plain(str(said), MESSAGE_CHARACTERS), "<exception str() failed>"),
        after=None if issubclass(kind, Reject) else tried(lambda: _delay(said.after), None),
    )


def _unexpected(error: BaseException, *, tells_text: bool) -> Outcome:
    incident_id = secrets.token_hex(8)
    name = _class_name(error)
    message = f"{name} (incident {incident_id})"
    if tells_text:
        message = tried(lambda: described(error), f"{name}: <exception str() failed>")
    return Outcome(
        kind=Kind.FAILED,
        code=HANDLER_ERROR,
        message=message,
        report=tried(lambda: _report(error), name),
        incident_id=incident_id,
        is_stopped=issubclass(type(error), CancelledError),
    )


def described(error: BaseException) -> str:
    """Tell an exception's class and text in plain characters; may raise what its text raises."""
    text = "".join(traceback.format_exception_only(error))
    return plain(text, 4 * MESSAGE_CHARACTERS).strip()[:MESSAGE_CHARACTERS]


def _class_name(value: object) -> str:
    """Name the class of something, past whatever its metaclass says."""
    name = type.__dict__["__name__"].__get__(type(value))
    return _printable(plain(name, 4 * CODE_CHARACTERS)) or "something without a name"


def _report(error: BaseException) -> str:
    """Give the traceback; of a very long one the beginning and the end."""
    text = plain("".join(traceback.format_exception(error)), None)
    half = REPORT_CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]}\n ... \n{text[-half:]}"


def _code(value: object) -> str:
    """Make a code of what a handler calls one."""
    kind = type(value)
    if issubclass(kind, Enum):
        return _code_of_enum(value)
    if issubclass(kind, str):
        text = plain(value, 4 * CODE_CHARACTERS)
    elif issubclass(kind, int):
        text = int.__repr__(value)
    else:
        return HANDLER_ERROR
    return _printable(text.strip())[:CODE_CHARACTERS] or HANDLER_ERROR


def _code_of_enum(value: Any) -> str:  # noqa: ANN401 - an Enum of any kind
    """Take an Enum's value where that is text, else its name."""
    member = value.value
    return _code(str.__str__(member) if issubclass(type(member), str) else value.name)


def _delay(value: Any) -> float | None:  # noqa: ANN401 - what a handler calls a number
    seconds = float.__float__(float(value))
    return seconds if 0 <= seconds <= LONGEST_DELAY_SECONDS else None


def plain(text: Any, most: int | None) -> str:  # noqa: ANN401 - a str of any subclass
    """Give a text of Unicode proper, cut; of a subclass of str the characters and nothing else."""
    cut: str = str.__getitem__(text, slice(most))
    return str.encode(cut, errors="replace").decode()


def _printable(text: str) -> str:
    """Put a "?" in the place of what nobody could see, or what changes how the rest is seen."""
    return "".join("?" if _is_unprintable(character) else character for character in text)


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE or character in _OVERRIDES


def _of_value(value: Any) -> Outcome:  # noqa: ANN401 - whatever a handler returns
    """Encode a result, and see that it can be read again."""
    if not issubclass(type(value), Message):
        tried(lambda: value.close() if hasattr(value, "send") else None, None)  # a coroutine
        return _invalid(f"{_class_name(value)}; it must return a protobuf message or None")
    encoded = tried(lambda: _packed(value), None)
    if encoded is None:
        return _invalid(f"a {_class_name(value)} that cannot be encoded")
    if len(encoded) > RESULT_BYTES:
        return _invalid(f"{len(encoded)} bytes; a result has at most {RESULT_BYTES}")
    return Outcome(kind=Kind.SUCCEEDED, result=encoded)


def _packed(value: Message) -> bytes:
    packed = value if type(value) is any_pb2.Any else any_pb2.Any()
    if packed is not value:
        packed.Pack(value)
    encoded = bytes(packed.SerializeToString())
    any_pb2.Any.FromString(encoded)
    return encoded


def _invalid(what: str) -> Outcome:
    message = f"the handler returned {what}"[:MESSAGE_CHARACTERS]
    return Outcome(kind=Kind.REJECTED, code=RESULT_INVALID, message=message)
