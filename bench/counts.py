"""What an order makes the service do, counted instead of timed: the same on a busy machine.

    counts.py            fails where counts leave their budget, bench/budget.json
    counts.py --look     prints what is run and called
    counts.py --renew    makes the counts the budget

The whole service but gRPC runs in this process, on a store on disk; requests come as bytes, answers
go as bytes. Each scene runs several times, and the least of each count is taken: which thread is
first makes a few more now and then.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import load

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server import service
from orderintake_server.access import OpenDoor
from orderintake_server.api.access import Call
from orderintake_server.api.decoding import reader
from orderintake_server.calls.frame import Frame
from orderintake_server.config import Settings
from orderintake_server.dispatch.requests import pending
from orderintake_server.handlers import OrderAttempt, Shop
from orderintake_server.service import Service
from orderintake_server.telemetry import configure_log

BUDGET = Path(__file__).with_name("budget.json")
OVER, UNDER, SLACK = 0.10, 0.25, 0.05
"""A count may exceed its budget by this share and this much; far below, the budget is lowered."""
ADVICE = """
`make counts ARGS=--look` prints what is run and called for an order; compare it with that of the
commit before. If the change is worth it, or counts less: `make counts ARGS=--renew`, and commit."""
PYTHON = "{}.{}".format(*sys.version_info)
CALLS = "calls of functions"
"""Other versions of Python make others, so they are compared on the same version only."""
ASKED_OF_A_LOOP = {
    "create_future": "futures",
    "create_task": "tasks",
    "call_soon": "callbacks",
    "call_soon_threadsafe": "wake-ups by a thread",
}
ROUNDS = 3
FEW_TURNS = 6
"""For so many turns of the loop a commit waits here for the rest of a burst: all of one comes at
once, and turns of waiting are no work that orders make."""
IN_MESSAGE = 10
"""So many orders share a message of PlaceOrders."""
MOST_TOLD = 40
CALLER = Call(caller=OpenDoor().identify(mock.Mock()), owner=None, peer=lambda: "")
Counts = dict[str, float]
"""How often each thing happens for each order."""


class Counted:
    """Counts what the process does, while it is told to."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._found: Counter[str] = Counter()
        self.details: Counter[tuple[str, str]] = Counter()
        """The same by what it was, of the last time."""
        self._is_on = False

    @contextmanager
    def on(self) -> Iterator[Counter[str]]:
        """Count while inside; give what was counted."""
        self._found.clear()
        self.details.clear()
        self._is_on = True
        sys.setprofile(self.profile)
        try:
            yield self._found
        finally:
            sys.setprofile(None)
            self._is_on = False

    def note(self, what: str, detail: str = "") -> None:
        """Count one."""
        if self._is_on:
            self._found[what] += 1
            self.details[what, detail] += 1

    def profile(self, frame: FrameType, event: str, function: Any) -> None:  # noqa: ANN401
        """Count calls of functions, in whichever thread; what counts is not counted.

        One that is not Python's is counted where it is called.
        """
        if frame.f_code.co_filename == __file__:
            return
        module = frame.f_globals.get("__name__", "")
        if event == "call":
            self.note(CALLS, f"{module} {frame.f_code.co_qualname}")
        elif event == "c_call":
            self.note(CALLS, f"{module} {function.__qualname__}")

    def connect(self, *given: Any, **named: Any) -> sqlite3.Connection:  # noqa: ANN401
        """Connect, and count the statements that are run there."""
        note = partial(self.note, "SQL statements")

        class Noting(sqlite3.Connection):
            """Notes what is asked of it: a trace would tell the statements of triggers too."""

            def execute(self, text: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
                note(text)
                return super().execute(text, *values)

            def executemany(self, text: str, *rows: Any) -> sqlite3.Cursor:  # noqa: ANN401
                note(text)
                return super().executemany(text, *rows)

        return CONNECT(*given, **named, factory=Noting)

    def loop(self) -> asyncio.AbstractEventLoop:
        """Make an event loop that counts what it is asked for."""
        loop = asyncio.SelectorEventLoop()
        for name, what in ASKED_OF_A_LOOP.items():
            setattr(loop, name, self._noting(what, getattr(loop, name)))
        return loop

    def _noting(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            self.note(what)
            return function(*given, **named)

        return noted


CONNECT: Callable[..., sqlite3.Connection] = sqlite3.connect


@dataclass(frozen=True, kw_only=True)
class Shopping:
    """The service at work, and its methods."""

    service: Service
    answers: Mapping[str, Any]
    """What answers each method."""

    async def place(self, orders: int) -> None:
        """Place orders at once, each a call."""
        request = load.REQUEST.SerializeToString()
        decode = reader(api.PlaceOrderRequest)

        async def place() -> None:
            _encoded(await self.answers["PlaceOrder"](decode(request), CALLER))

        await asyncio.gather(*(place() for _ in range(orders)))

    async def place_each(self, orders: int) -> None:
        """Place orders one after the other, each when the one before it has ended."""
        for _ in range(orders):
            ended = self.service.completions.head
            await self.place(1)
            await self.ended(ended + 1)

    async def place_batch(self, orders: int) -> None:
        """Place orders in one batch."""
        batch = api.BatchPlaceOrdersRequest(requests=[load.REQUEST] * orders)
        decode = reader(api.BatchPlaceOrdersRequest)
        request = decode(batch.SerializeToString())
        _encoded(await self.answers["BatchPlaceOrders"](request, CALLER))

    async def place_on_call(self, orders: int) -> None:
        """Place orders on one PlaceOrders call, some in each message."""
        decode, left = reader(api.PlaceOrdersRequest), orders
        message = api.PlaceOrdersRequest(orders=[load.REQUEST] * IN_MESSAGE).SerializeToString()

        async def messages() -> AsyncIterator[Any]:
            for _ in range(orders // IN_MESSAGE):
                yield decode(message)

        async for response in self.answers["PlaceOrders"](messages(), CALLER):
            results = api.PlaceOrdersResponse.FromString(response).results
            left -= sum(result.HasField("receipt") for result in results)
        if left:
            raise RuntimeError(f"{left} of {orders} orders have no receipt")

    async def ended(self, completions: int) -> None:
        """Wait until there are so many completions."""
        log, published = self.service.completions, asyncio.Event()
        publish = log.publish

        def told(head: int) -> None:
            publish(head)
            published.set()

        with mock.patch.object(log, "publish", told):
            while log.head < completions:
                published.clear()
                await published.wait()


def _encoded(message: Any) -> bytes:  # noqa: ANN401 - a message, or its bytes
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


@asynccontextmanager
async def shopping(data: Path, workers: int) -> AsyncIterator[Shopping]:
    """Run the service, with a handler that does nothing, and without gRPC."""
    made: list[Service] = []
    answers: dict[str, Any] = {}

    class Kept(Service):
        def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
            super().__init__(*given, **named)
            made.append(self)

    @asynccontextmanager
    async def no_rpc(frame: Frame, *_: object) -> AsyncIterator[mock.Mock]:
        answers.update({each.path.rpartition("/")[2]: each.endpoint for each in frame.methods})
        yield mock.Mock(addresses=(), listens=(), announce_stop=mock.AsyncMock())

    async def handler(_: OrderAttempt) -> None:
        pass

    settings = Settings(data=data, workers=workers)
    with mock.patch.multiple(service, Service=Kept, rpc_server=no_rpc):
        async with service.running(settings, shop=Shop(handler=handler)):
            yield Shopping(service=made[0], answers=answers)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Orders placed in some way, so many, with so many workers."""

    place: Callable[[Shopping, int], Awaitable[None]]
    orders: int
    workers: int

    async def play(self, counted: Counted, data: Path) -> Counts:
        """Play it some times; give the least of each count, for each order."""
        async with shopping(data, self.workers) as shop:
            await self._turn(shop)
            turns = []
            for _ in range(ROUNDS):
                with counted.on() as found:
                    await self._turn(shop)
                turns.append(dict(found))
        what = sorted({name for turn in turns for name in turn})
        return {
            name: round(min(turn.get(name, 0) for turn in turns) / self.orders, 2) for name in what
        }

    async def _turn(self, shop: Shopping) -> None:
        ended = shop.service.completions.head
        await self.place(shop, self.orders)
        if self.workers:
            await shop.ended(ended + self.orders)


SCENES = {
    "64 orders at once, accepted": Scene(place=Shopping.place, orders=64, workers=0),
    "64 orders at once, their lives, 64 workers": Scene(
        place=Shopping.place, orders=64, workers=64
    ),
    "64 orders at once, their lives, 8 workers": Scene(place=Shopping.place, orders=64, workers=8),
    "one order after the other, its life": Scene(place=Shopping.place_each, orders=8, workers=8),
    "500 orders in a batch, their lives, 64 workers": Scene(
        place=Shopping.place_batch, orders=500, workers=64
    ),
    "100 orders on a PlaceOrders call, accepted": Scene(
        place=Shopping.place_on_call, orders=100, workers=0
    ),
    "100 orders on a PlaceOrders call, their lives, 64 workers": Scene(
        place=Shopping.place_on_call, orders=100, workers=64
    ),
}


def counts(look: Callable[[str, Scene, Counted], None] | None = None) -> dict[str, Counts]:
    """Play all scenes; `look` at each after it."""
    found, counted = {}, Counted()
    threading.setprofile(counted.profile)
    with (
        mock.patch.object(sqlite3, "connect", counted.connect),
        mock.patch.object(pending, "QUIET_TURNS", FEW_TURNS),
    ):
        for name, scene in SCENES.items():
            with (
                tempfile.TemporaryDirectory() as folder,
                asyncio.Runner(loop_factory=counted.loop) as runner,
            ):
                found[name] = runner.run(scene.play(counted, Path(folder)))
            if look:
                look(name, scene, counted)
    return found


def look(name: str, scene: Scene, counted: Counted) -> None:
    """Print what was run and called most often in a scene, each with its number an order."""
    print(f"\n{name}")
    packages: Counter[str] = Counter()
    for (what, detail), number in counted.details.items():
        if what == CALLS:
            packages[".".join(detail.split(" ")[0].split(".")[:2])] += number
    told = {f"{CALLS}, by package": packages}
    for what in ("SQL statements", CALLS):
        told[what] = Counter({key[1]: n for key, n in counted.details.items() if key[0] == what})
    for what, numbers in told.items():
        print(f"  {what}, an order")
        for detail, number in numbers.most_common(MOST_TOLD):
            print(f"  {number / scene.orders:8.2f}  {' '.join(detail.split())[:110]}")


def compared(found: dict[str, Counts], budget: dict[str, Any]) -> Iterator[str]:
    """Tell each count that leaves the budget."""
    is_same_python = budget["python"] == PYTHON
    for scene in sorted(found.keys() | budget["counts"].keys()):
        now, allowed = found.get(scene, {}), budget["counts"].get(scene, {})
        for what in sorted(now.keys() | allowed.keys()):
            if what == CALLS and not is_same_python:
                continue
            count, bound = now.get(what, 0.0), allowed.get(what, 0.0)
            if count > bound * (1 + OVER) + SLACK:
                yield f"{scene}: {count:g} {what} an order; the budget is {bound:g}"
            elif count < bound * (1 - UNDER) - SLACK:
                yield f"{scene}: only {count:g} {what} an order; lower the budget, {bound:g}"


def main() -> None:
    """Count, and compare with the budget or make it anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true", help="make these counts the budget")
    parser.add_argument("--look", action="store_true", help="print what was run and called")
    asked = parser.parse_args()
    found = counts(look if asked.look else None)
    if asked.renew:
        budget = {"python": PYTHON, "counts": found}
        BUDGET.write_text(json.dumps(budget, indent=2, sort_keys=True) + "\n")
        return
    if wrong := list(compared(found, json.loads(BUDGET.read_text()))):
        raise SystemExit("\n".join([*wrong, ADVICE]))


if __name__ == "__main__":
    configure_log(form="text", level="error")
    main()
