"""What is logged again and again is folded; what only looks alike is not."""

import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from orderintake_server import logger
from orderintake_server.logger import get_logger
from orderintake_server.telemetry.bridge import Bridge
from orderintake_server.telemetry.folding import MOST_ENTRIES, MOST_KINDS, Folding
from orderintake_server.telemetry.log import renderer
from orderintake_server.telemetry.sink import LOST
from support.clocks import Seconds

log = get_logger()


class Log:
    """The log of this process, with a clock to turn."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.folding = Folding(self.clock)
        self.lines: list[str] = []
        logger.configure(
            processor=renderer("json"), before=self.folding, level="debug", write=self.lines.append
        )

    def told(self, write: Callable[[int], object], count: int = 20) -> list[int]:
        """Call `write` so often; give how many each line says were left out."""
        self.lines.clear()
        for number in range(count):
            write(number)
        return [json.loads(line).get("suppressed", 0) for line in self.lines]


@pytest.fixture
def folded() -> Iterator[Log]:
    yield Log()
    structlog.contextvars.clear_contextvars()


def test_the_sixth_of_the_same_is_left_out_and_the_next_window_tells_how_many(folded: Log) -> None:
    lost = LOST["folded"]
    assert folded.told(lambda _: log.info("the same")) == [0] * MOST_ENTRIES
    assert LOST["folded"] - lost == 15
    folded.clock.turn(9.9)
    assert folded.told(lambda _: log.info("the same")) == []
    folded.clock.turn(0.1)
    assert folded.told(lambda _: log.info("the same")) == [35, 0, 0, 0, 0]


SAME = {
    "a length that is measured": lambda each: log.info("slow", seconds=each / 7),
    "a caller's address": lambda each: log.info("refused", peer=f"ipv4:192.0.2.1:{each}"),
    "objects": lambda _: log.info("found", thing=object()),
    "errors of one class": lambda each: log.error("failed", exc_info=ValueError(each)),
}
DIFFERENT = {
    "texts": lambda each: log.info(["bread", "tea", "figs", "soup"][each % 4]),
    "fields": lambda each: log.info("listening", address=f"127.0.0.1:{each}"),
    "orders": lambda each: log.warning("attempt failed", accept_sequence=each),
    "incidents": lambda each: log.error("call failed", incident_id=f"{each:016x}"),
    "classes of errors": lambda each: log.error(
        "failed", exc_info=type(f"E{each}", (Exception,), {})()
    ),
    "levels": lambda each: log.log(10 * (1 + each % 4), "the same"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_says_the_same_is_folded(name: str, folded: Log) -> None:
    assert folded.told(SAME[name]) == [0] * MOST_ENTRIES


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_says_something_else_is_not(name: str, folded: Log) -> None:
    assert folded.told(DIFFERENT[name]) == [0] * 20


def test_what_handlers_log_is_folded_by_order_only(folded: Log) -> None:
    """A library that says the same without end is; one line for each order is not."""
    bridge = Bridge()
    library = logging.getLogger("library")
    library.addHandler(bridge)

    def of_another_order(number: int) -> None:
        structlog.contextvars.bind_contextvars(order_id=f"order {number}")
        library.warning("the pool is %s", "full")

    assert folded.told(of_another_order) == [0] * 20
    assert folded.told(lambda _: library.warning("the pool is full")) == [0] * (MOST_ENTRIES - 1)
    library.removeHandler(bridge)


def test_entries_of_which_each_counts_are_not_folded(folded: Log) -> None:
    each = get_logger(each_counts=True)
    assert folded.told(lambda _: each.info("call")) == [0] * 20


def test_what_a_shop_writes_by_structlog_is_not_folded(folded: Log) -> None:
    shop = structlog.get_logger()
    assert folded.told(lambda _: shop.info("baked", loaves=1)) == [0] * 20


def test_a_flood_stays_folded_among_any_number_of_others(folded: Log) -> None:
    """And they do not fill the memory."""

    def flood(number: int) -> None:
        log.info("the same")
        log.warning("attempt failed", accept_sequence=number)

    folded.told(flood, 3_000)
    events = [json.loads(line)["event"] for line in folded.lines]
    assert events.count("the same") == MOST_ENTRIES
    assert events.count("attempt failed") == 3_000
    kept = folded.folding
    assert len(kept._young) + len(kept._old) <= MOST_KINDS  # noqa: SLF001 - nothing else tells


def test_threads_may_log_at_once(folded: Log) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 2_000):
            log.info("a line", number=number)

    threads = [threading.Thread(target=write, args=[start]) for start in (0, 10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({json.loads(line)["number"] for line in folded.lines}) == 6_000
