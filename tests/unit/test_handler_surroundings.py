"""Around a handler: what it opens, what it logs, how it is refused, and what blocks the loop."""

import asyncio
import itertools
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import structlog

from orderintake.work import OrderAttempt, watch
from orderintake.work import lifespan as lifespans
from orderintake.work.figures import HandlerFigures
from orderintake.work.finding import HandlerUnusable, check
from orderintake.work.handlers import CallPolicy
from orderintake.work.lifespan import lifespan
from orderintake.work.watch import LoopWatch
from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.domain import Lease, Order, State, Tier
from orderintake_server.errors import StartupFailed
from orderintake_server.handlers import HandlerCalls, Shop, handler_calls
from orderintake_server.ids import Ids
from orderintake_server.telemetry import configure_log
from orderintake_server.telemetry.bridge import Bridge
from support.hands import attempt_of

IDS = Ids("0123abcd")


def lease(**given: Any) -> Lease:  # noqa: ANN401 - whatever an order has
    order = Order(
        accept_sequence=7,
        customer_id="ada",
        tier=Tier.VIP,
        content=b"\x12\x03ada",
        accept_time=1_790_000_000_250_000,
        state=State.PROCESSING,
        attempt_count=2,
        start_sequence=9,
        **given,
    )
    return Lease(order=order, crash_count=0)


async def one(calls: HandlerCalls, **given: Any) -> None:  # noqa: ANN401 - as above
    await calls.room()
    await calls(lease(**given), StopSignal())


# What a handler knows of its order

TRACE = 25 * b"\x01"


async def test_an_order_shows_its_times_and_what_it_repeats() -> None:
    seen: list[OrderAttempt] = []
    async with handler_calls(Shop(handler=seen.append), CallPolicy(), IDS) as calls:
        await one(calls, not_before=1_000_000, expire_time=2_000_001, redrive_of=5, trace=TRACE)
        await one(calls, expire_time=2**62)
    first, far = seen
    assert first.not_before is not None
    assert first.expire_time is not None
    assert (first.not_before.timestamp(), first.expire_time.timestamp()) == (1.0, 2.000001)
    assert first.redrive_of == IDS.order_id(5)
    assert first.traceparent == f"00-{'01' * 16}-{'01' * 8}-01"
    assert far.traceparent == ""
    assert first.deadline is None
    assert (far.not_before, far.redrive_of) == (None, "")
    assert far.expire_time is not None
    assert far.expire_time.year == 9999


# What it opens


class Pool:
    """Opened and closed, in this way or that."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def later(self) -> AsyncIterator[str]:
        self.events.append("open")
        yield "pool"
        self.events.append("closed")

    @contextmanager
    def at_once(self) -> Iterator[str]:
        self.events.append("open")
        yield "pool"
        self.events.append("closed")


@pytest.mark.parametrize("kind", ["later", "at_once"])
async def test_what_a_lifespan_gives_is_given_to_each_order(kind: str) -> None:
    pool = Pool()
    seen: list[OrderAttempt] = []
    here = Shop(handler=seen.append, lifespan=getattr(pool, kind))
    async with handler_calls(here, CallPolicy(), IDS) as calls:
        await one(calls)
        assert pool.events == ["open"]
    assert pool.events == ["open", "closed"]
    assert seen[0].resources == "pool"


@asynccontextmanager
async def fails_to_begin(error: BaseException) -> AsyncIterator[None]:
    raise error
    yield


@pytest.mark.parametrize("error", [OSError("no database"), SystemExit(3), KeyboardInterrupt()])
async def test_a_lifespan_that_cannot_begin_ends_the_start(error: BaseException) -> None:
    here = Shop(name="shop:place", lifespan=partial(fails_to_begin, error))
    with pytest.raises(StartupFailed, match=f"lifespan of 'shop:place'.*{type(error).__name__}"):
        async with handler_calls(here, CallPolicy(), IDS):
            pass


@pytest.mark.parametrize("made", [None, 7, "pool", object()], ids=itertools.count())
async def test_a_lifespan_that_is_none_ends_the_start(made: object) -> None:
    with pytest.raises(HandlerUnusable, match="cannot begin"):
        async with lifespan(lambda: made, "shop:place"):
            pass


@asynccontextmanager
async def ends_badly(how: str) -> AsyncIterator[None]:
    yield
    if how == "hangs":
        await asyncio.sleep(3600)
    if how == "swallows":
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)
    raise {"fails": OSError("gone"), "exits": SystemExit(3)}[how]


@pytest.mark.parametrize("how", ["fails", "exits", "hangs", "swallows"])
async def test_how_a_lifespan_ends_is_no_matter_of_the_service(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifespans, "END_SECONDS", 0.05)
    monkeypatch.setattr(lifespans, "HEED_SECONDS", 0.05)
    async with lifespan(partial(ends_badly, how), "shop:place"):
        pass
    assert "the lifespan did not end well" in caplog.text


async def test_what_runs_in_a_lifespan_is_left_by_the_task_that_entered_it() -> None:
    """A task that fails in it cancels neither the service nor the lifespan."""
    tasks: list[asyncio.Task[object] | None] = []

    @asynccontextmanager
    async def grouped() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as group:
            group.create_task(ends_badly("fails").__aenter__())
            group.create_task(fails_to_begin(OSError("gone")).__aenter__())
            yield
        tasks.append(asyncio.current_task())

    async with lifespan(grouped, "shop:place"):
        for _ in range(5):
            await asyncio.sleep(0)
    assert len(tasks) == 1


async def test_a_start_that_is_given_up_ends_the_lifespan_that_begins() -> None:
    ended = asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            await asyncio.sleep(0.05)
            yield
        finally:
            ended.set()

    async def starts() -> None:
        async with lifespan(slow, "shop:place"):
            pass

    starting = asyncio.create_task(starts())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ended.is_set()


# What it logs


NAMES = {"order_id": IDS.order_id(7), "customer_id": "ada", "attempt": 2}


def logs(order: OrderAttempt) -> None:
    logging.getLogger("kitchen").warning("%s is hot", "oven", extra={"degrees": 200})
    structlog.get_logger().warning("oven is hot", degrees=200)
    logging.getLogger("kitchen").debug("not at this level")


async def logs_in_the_loop(order: OrderAttempt) -> None:
    logs(order)
    await asyncio.to_thread(logs, order)


@pytest.mark.parametrize("handler", [logs, logs_in_the_loop])
async def test_a_handlers_log_names_its_order(
    handler: Callable[[OrderAttempt], object], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_log(form="json", level="info")  # here, where standard error is what is captured
    bridge = Bridge()
    logging.getLogger().addHandler(bridge)
    async with handler_calls(Shop(handler=handler), CallPolicy(), IDS) as calls:
        await one(calls)
    logging.getLogger().removeHandler(bridge)
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(entries) in {2, 4}
    for entry in entries:
        assert {**entry, **NAMES} == entry
        assert (entry["event"], entry["level"]) == ("oven is hot", "warning")
        assert entry["degrees"] == 200


async def test_what_is_logged_of_a_thread_that_hangs_names_its_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_log(form="json", level="info")
    bridge, let_go = Bridge(), threading.Event()

    def hangs(_: OrderAttempt) -> None:
        let_go.wait(timeout=5)

    logging.getLogger().addHandler(bridge)
    policy = CallPolicy(slots=1, stuck=1, attempt_seconds=0.01)
    async with handler_calls(Shop(handler=hangs), policy, IDS) as calls:
        await one(calls)
        let_go.set()
        async with asyncio.timeout(5):
            while calls.stuck:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
    logging.getLogger().removeHandler(bridge)
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [entry["event"] for entry in entries] == [
        "a handler's thread does not end; another takes its place",
        "a handler's thread came back",
    ]
    assert [{**entry, **NAMES} for entry in entries] == entries


# What is refused at start


class Kitchen:
    """A class, whose instance is a handler."""

    def __call__(self, order: OrderAttempt) -> None: ...

    def method(self, order: OrderAttempt) -> None: ...

    def many(self, order: OrderAttempt, oven: int) -> None: ...


class Generates:
    def __call__(self, order: OrderAttempt) -> Iterator[None]:
        yield


class Hostile:
    @property
    def __signature__(self) -> None:
        raise KeyboardInterrupt

    def __call__(self, order: OrderAttempt) -> None: ...


def generator(order: OrderAttempt) -> Iterator[None]:
    yield


async def async_generator(order: OrderAttempt) -> AsyncIterator[None]:
    yield


def nothing() -> None: ...


def only_by_name(*, order: OrderAttempt) -> None: ...


BY_NAME: Callable[..., None] = only_by_name


def more(order: OrderAttempt, oven: int = 1, *rest: int, **names: int) -> None: ...


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (Kitchen, "is a class"),
        (generator, "is a generator"),
        (async_generator, "is a generator"),
        (partial(generator), "is a generator"),
        (Generates(), "is a generator"),
        (nothing, "cannot be called with one argument"),
        (only_by_name, "cannot be called with one argument"),
        (Kitchen.method, "cannot be called with one argument"),
        (Kitchen().many, "cannot be called with one argument"),
        (partial(BY_NAME, 1), "cannot be"),
        (Hostile(), "cannot be looked at: KeyboardInterrupt"),
    ],
    ids=itertools.count(),
)
async def test_a_handler_that_could_process_no_order_is_refused(
    handler: Callable[..., object], why: str
) -> None:
    with pytest.raises(StartupFailed, match=f"handler 'shop:place' .*{why}"):
        async with handler_calls(Shop(name="shop:place", handler=handler), CallPolicy(), IDS):
            pass


@pytest.mark.parametrize(
    "handler",
    [Kitchen(), Kitchen().method, partial(more, oven=2), more, print, [].append],
    ids=itertools.count(),
)
def test_whatever_takes_one_argument_is_a_handler(handler: Callable[..., object]) -> None:
    check(handler, "shop:place")


# What blocks the loop


async def test_a_handler_that_blocks_the_loop_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch, "BLOCKED_SECONDS", 0.05)
    order = attempt_of()
    figures = HandlerFigures()
    looking = LoopWatch("shop:place", {asyncio.current_task(): order}.get, figures)
    looking.start(asyncio.get_running_loop())
    await asyncio.sleep(0.05)
    began = time.monotonic()
    while time.monotonic() - began < 0.2:
        pass
    await asyncio.sleep(0.05)
    looking.stop()
    told = [vars(record) for record in caplog.records if "blocked" in record.message]
    assert told
    assert told[0]["order_id"] == order.order_id
    assert told[0]["handler"] == "shop:place"
    assert told[0]["seconds"] > 0
    assert "test_handler_surroundings.py" in told[0]["line"]
    assert "the event loop goes on" in caplog.text
    assert figures.loop_stalls >= 1
