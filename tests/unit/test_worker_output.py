"""What a worker process logs is passed on as it is, and costs the server a bounded share."""

import json
import os
import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from orderintake_server import logger, texts
from orderintake_server.supervisor import output

Passed = Callable[[bytes, str], list[str]]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep how long is waited; each look at the clock of the thread's work is 1 ms later."""
    kept: list[float] = []
    clock = count()
    monkeypatch.setattr(time, "sleep", kept.append)
    monkeypatch.setattr(time, "thread_time", lambda: next(clock) / 1_000)
    return kept


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Passed:
    """Let a process log; give what is passed on, piece by piece."""
    assert not waits

    def log(data: bytes, form: str) -> list[str]:
        pieces: list[str] = []
        monkeypatch.setattr(logger, "pass_on", pieces.append)
        monkeypatch.setattr(output.log, "warning", pieces.append)
        reads, writes = os.pipe()
        reading = threading.Thread(target=output.read_log, args=(reads, form))
        reading.start()
        with os.fdopen(writes, "wb") as pipe:
            pipe.write(data)
        reading.join()
        return pieces

    return log


def test_lines_are_passed_on_as_they_are(passed: Passed) -> None:
    data = b"an entry\n  with lines\n\n \t\n\tof its own\nand its \x1b end"
    assert passed(data, "text") == ["an entry\n  with lines\n\tof its own", "and its \\x1b end"]


@pytest.mark.parametrize("nothing", [b"", b"\n", b"\n \n\t\n", b"  "])
def test_lines_without_anything_are_not(passed: Passed, nothing: bytes) -> None:
    assert passed(nothing, "text") == []
    assert passed(nothing, "json") == []


def test_an_entry_of_half_a_million_lines_is_passed_on_in_few_pieces(
    passed: Passed, waits: list[float]
) -> None:
    lines = 500_000
    pieces = passed(b"  x\n" * lines, "text")
    assert "".join(f"{piece}\n" for piece in pieces) == "  x\n" * lines
    chunks = 4 * lines / output.CHUNK_BYTES
    rest = pytest.approx(0.001 * (1 / output.SHARE - 1))
    paced = sum(wait for wait in waits if wait != rest)
    assert paced == pytest.approx(4 * lines / output.BYTES_A_SECOND, rel=0.5)
    assert len(pieces) < 100 * chunks  # a pipe may give less at once than is asked for


def test_a_caller_never_waits_for_long_lines(
    passed: Passed, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = texts.escaped

    def escaped(text: str, *, may_have_lines: bool) -> str:
        sizes.append(len(text))
        return real(text, may_have_lines=may_have_lines)

    monkeypatch.setattr(output, "escaped", escaped)
    text = "\x1b" * output.CHUNK_BYTES
    assert "".join(passed(text.encode(), "text")) == "\\x1b" * output.CHUNK_BYTES
    assert max(sizes) <= output.CHARACTERS
    pauses = [wait for wait in waits if wait > 0.01]
    assert len(pauses) >= len(sizes) >= output.CHUNK_BYTES // output.CHARACTERS


def test_secrets_are_kept_out(passed: Passed) -> None:
    assert passed(b"one\nauthorization: Bearer abc.def\nthree\n", "text") == [
        "one\nauthorization: [redacted]\nthree"
    ]


def test_a_line_without_an_end_is_cut(passed: Passed) -> None:
    pieces = passed(b"x" * (3 * output.CHUNK_BYTES), "text")
    assert "".join(pieces) == "x" * (3 * output.CHUNK_BYTES)
    assert len(pieces) > 1


def test_in_json_entries_stay_entries_and_other_lines_become_some(passed: Passed) -> None:
    entry = json.dumps({"event": "said", "token": "Bearer abc"})
    data = f'{entry}\nno entry\n{{"event": 1}}\n[]\n'.encode()
    assert passed(data, "json") == [
        '{"event": "said", "token": "[redacted]"}',
        *("no entry", '{"event": 1}', "[]"),
    ]


def test_many_entries_take_no_more_than_their_share_of_a_core(
    passed: Passed, waits: list[float]
) -> None:
    lines = 10 * output.ENTRIES
    assert len(passed(b"x\n" * lines, "json")) == lines
    pauses = [wait for wait in waits if wait > 0.01]
    assert len(pauses) >= lines // output.ENTRIES
    worked, waited = len(pauses) * 0.001, sum(pauses)
    assert worked / (worked + waited) <= output.SHARE * 1.001
