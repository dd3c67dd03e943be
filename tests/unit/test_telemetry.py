"""The log: one line an entry, of the asked form and level, and no customer's data in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from orderintake_server.ids import Ids
from orderintake_server.logger import get_logger
from orderintake_server.telemetry import ORDER_ID, configure_log
from orderintake_server.telemetry.sink import LineSink


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave the log of other tests as it was."""
    yield
    structlog.reset_defaults()


def _entries(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Read what was written, to standard error only."""
    written = capsys.readouterr()
    assert written.out == ""
    return written.err.splitlines()


def test_json_is_one_object_a_line_with_the_fields_beside_the_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_log(form="json", level="info")
    get_logger().warning("store opened", head=7, data="a\nb")
    (line,) = _entries(capsys)
    entry = json.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "store opened", "level": "warning", "head": 7, "data": "a\nb"}


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_that_tells_of_an_order_tells_its_order_id(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_log(form=form, level="info")
    token = ORDER_ID.set(Ids("0badcafe").order_id)
    get_logger().warning("attempt failed", accept_sequence=10_003)
    ORDER_ID.reset(token)
    get_logger().warning("attempt failed", accept_sequence=10_003)
    named, unnamed = _entries(capsys)
    assert "0badcafe-000000002713" in named
    assert "10003" in named
    assert "order_id" not in unnamed


@pytest.mark.parametrize("level", ["debug", "warning"])
def test_p21_how_others_configure_structlog_changes_nothing(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> str:
        raise KeyboardInterrupt

    configure_log(form="json", level=level)
    structlog.get_config()["processors"].clear()
    structlog.configure(processors=[fails], wrapper_class=structlog.make_filtering_bound_logger(50))
    get_logger().info("unseen unless debug")
    get_logger().warning("seen")
    events = [json.loads(line)["event"] for line in _entries(capsys)]
    assert events == ["unseen unless debug", "seen"][-(1 + (level == "debug")) :]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(form="text", level="info")
    get_logger().info("store opened", head=7)
    (line,) = _entries(capsys)
    assert "store opened" in line
    assert "head=7" in line
    assert "\x1b" not in line  # no colors: this is no terminal


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 5), ("info", 4), ("warning", 3), ("error", 2)]
)
def test_only_what_is_urgent_enough_is_written(
    capsys: pytest.CaptureFixture[str], level: str, count: int
) -> None:
    configure_log(form="json", level=level)
    log = get_logger()
    for write in (log.debug, log.info, log.warning, log.error, log.critical):
        write("something happened")
    assert len(_entries(capsys)) == count


def _fail() -> None:
    secret = f"card {1234}"
    raise LookupError(f"no such article, {len(secret)}")


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_written_without_the_values_of_variables(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_log(form=form, level="info")
    try:
        _fail()
    except LookupError as error:
        get_logger().error("a call failed", exc_info=error)
    text = "\n".join(_entries(capsys))
    assert "LookupError" in text
    assert "no such article, 9" in text
    assert "_fail" in text
    assert "card 1234" not in text


def test_json_with_an_exception_is_still_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(form="json", level="info")
    try:
        _fail()
    except LookupError as error:
        get_logger().error("a call failed", exc_info=error)
    (line,) = _entries(capsys)
    assert json.loads(line)["exception"][0]["exc_type"] == "LookupError"


class Unspeakable:
    """A value whose own code ends the process."""

    def __repr__(self) -> str:
        raise SystemExit(3)


class UnspeakableError(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_that_is_logged_raises_and_what_can_be_told_is(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_log(form=form, level="info")
    log = get_logger()
    log.info("an entry", value=Unspeakable(), head=7)
    log.info("an entry", exc_info=UnspeakableError(), head=7)
    log.info(Unspeakable(), head=7)
    log.info("an entry \udce9", head=7)
    lines = [line for line in _entries(capsys) if not line.startswith(" ")]
    assert len(lines) == 4
    assert all("head" in line and "7" in line for line in lines)
    assert sum("an entry" in line for line in lines) == 3


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x9b", "\u2028", "\u202e"])
def test_in_a_log_for_people_no_value_forges_a_line_or_speaks_to_the_terminal(
    capsys: pytest.CaptureFixture[str], character: str
) -> None:
    configure_log(form="text", level="info")
    text = f"a{character}2026-01-01 [critical] forged"
    log = get_logger()
    log.info("an entry", value=text, values=[text])
    log.info(text)
    log.info("an error", exc_info=LookupError(text))
    written = capsys.readouterr().err
    assert character == "\n" or character not in written
    assert sum(not line.startswith(" ") for line in written.splitlines()) == 3


def test_a_sink_drops_and_counts_what_nobody_takes_and_tells_it_later() -> None:
    reading, writing = os.pipe()
    sink = LineSink(writing, notice=lambda count: f"dropped {count}")
    for number in range(60):
        sink.put(f"{number} " + "x" * 100_000)
    sink.flush(0.0)  # it does not wait
    words: list[list[str]] = []
    with open(reading, encoding="utf-8") as log:  # noqa: PTH123 - a descriptor
        while not words or words[-1][0] != "dropped":
            words.append(log.readline().split())
    *kept, (_, count) = words
    assert [int(number) for number, _ in kept] == list(range(len(kept)))
    assert len(kept) + int(count) == 60
    assert 40 <= len(kept) < 60


def test_a_line_that_was_begun_is_finished_before_any_other() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    sink = LineSink(writing, notice=lambda count: f"dropped {count}")
    sink.put("x" * 1_000_000)
    sink.put("the next")
    with open(reading, encoding="utf-8") as log:  # noqa: PTH123 - a descriptor
        assert log.readline() == "x" * 1_000_000 + "\n"
        assert log.readline() == "the next\n"
    sink.put("for nobody")
    sink.put("for nobody")
    sink.flush(1.0)
    os.dup2(os.open("/dev/null", os.O_WRONLY), writing)


FORKS = """
import os
from orderintake_server.telemetry.sink import LineSink

sink = LineSink(1, notice=str)
sink.put("parent")
sink.flush(9)
with sink._lock:
    child = os.fork()
    if not child:
        sink.put("child")
        os._exit(0)
os.waitpid(child, 0)
sink.put("parent again")
sink.flush(9)
"""


def test_a_forked_child_writes_by_itself_though_it_has_no_thread() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ended.stdout.splitlines() == ["parent", "child", "parent again"]


@pytest.mark.seconds
def test_a_sink_tells_what_it_lost_as_soon_as_it_can_write_again() -> None:
    """Also when no further line comes."""
    reading, writing = os.pipe()
    target = os.dup(writing)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, target)
    sink = LineSink(target, notice=lambda count: f"dropped {count}")
    for _ in range(3):
        sink.put("lost")
    sink.flush(9.0)
    os.dup2(writing, target)
    with open(reading, encoding="utf-8") as log:  # noqa: PTH123 - a descriptor
        assert log.readline() == "dropped 3\n"
    os.close(full)
