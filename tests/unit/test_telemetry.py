"""The log: one line an entry, of the asked form and level, and no customer's data in it."""

import json
from collections.abc import Iterator

import pytest
import structlog

from orderintake_server.ids import Ids
from orderintake_server.telemetry import ORDER_ID, configure_log


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
    structlog.get_logger().warning("store opened", head=7, data="a\nb")
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
    structlog.get_logger().warning("attempt failed", accept_sequence=10_003)
    ORDER_ID.reset(token)
    structlog.get_logger().warning("attempt failed", accept_sequence=10_003)
    named, unnamed = _entries(capsys)
    assert "0badcafe-000000002713" in named
    assert "10003" in named
    assert "order_id" not in unnamed


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(form="text", level="info")
    structlog.get_logger().info("store opened", head=7)
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
    log = structlog.get_logger()
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
        structlog.get_logger().error("a call failed", exc_info=error)
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
        structlog.get_logger().error("a call failed", exc_info=error)
    (line,) = _entries(capsys)
    assert json.loads(line)["exception"][0]["exc_type"] == "LookupError"
