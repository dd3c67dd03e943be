"""Handlers that do the worst: what they raise and return is drawn by chance."""

import asyncio
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from enum import Enum, IntEnum
from random import Random
from typing import Any, NoReturn

from google.protobuf import any_pb2, descriptor_pb2, struct_pb2, wrappers_pb2
from google.protobuf.message import Message

from orderintake.work import OrderAttempt, Reject, Retry

HUGE = "x" * 1_000_000


class Words(str):
    """A text that tells nothing."""

    __slots__ = ()

    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __getitem__(self, key: object) -> str:
        raise SystemExit(2)

    def __len__(self) -> int:
        raise MemoryError

    def encode(self, *_: object, **__: object) -> bytes:
        raise OSError

    def strip(self, *_: object) -> str:
        raise ValueError


class Number(int):
    """A number that cannot be written."""

    def __repr__(self) -> str:
        raise SystemExit(1)

    def __float__(self) -> float:
        raise KeyboardInterrupt


class Texts(Enum):
    """Codes as shops write them."""

    SOLD_OUT = "SOLD_OUT"
    ODD = 7
    NONE = None


class Numbers(IntEnum):
    """Codes that are numbers."""

    ONE = 1


JUNK: tuple[Any, ...] = (
    None, 0, 7, -1, 10**5_000, True, float("nan"), float("inf"), 1e300, 2.5, 1j,
    "", " ", "X", "\x00", "\udce9", "a\nb", "\u202e", "é" * 5_000, HUGE, b"", b"\xff" * 70_000,
    Words("words"), Number(3), *Texts, *Numbers, Texts, Numbers,
    object(), object, (), [], {}, len, ..., NotImplemented, StopIteration, RuntimeError("inner"),
)  # fmt: skip

CLASSES: tuple[type[BaseException], ...] = (
    Exception, ValueError, OSError, KeyError, MemoryError, RecursionError, AssertionError,
    StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt, SystemExit,
    asyncio.CancelledError, TimeoutError, BaseException, SyntaxError, ImportError,
    Reject, Retry, Reject, Retry,
)  # fmt: skip


def _raises(error: type[BaseException]) -> Callable[..., NoReturn]:
    def raises(*_: object, **__: object) -> NoReturn:
        raise error

    return raises


def _gives(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


def an_exception(chance: Random) -> BaseException:
    """Draw an exception: of any class, made without its constructor, of any attributes."""
    if chance.random() > 0.9:
        inner: Any = [an_exception(chance) for _ in range(chance.randint(1, 3))]
        try:
            return BaseExceptionGroup("several", inner)
        except BaseException as ungrouped:  # noqa: BLE001 - one does not let itself be grouped
            return ungrouped
    base = chance.choice(CLASSES)
    body: dict[str, Any] = {"__init__": _gives(None)}
    for name in ("__str__", "__repr__", "__getattribute__", "__eq__", "__hash__", "__class__"):
        if chance.random() < 0.15:
            body[name] = _member(name, chance)
    error: BaseException = _class(base, body, chance)()
    for name in ("code", "after", "args", "text", "__notes__", "filename", "msg", "lineno"):
        if chance.random() < 0.4:
            with _nothing_matters():
                BaseException.__setattr__(error, name, chance.choice(JUNK))
    return error


def _member(name: str, chance: Random) -> object:
    """Draw what a class's special method does: raise, or give anything."""
    does = (
        _raises(chance.choice(CLASSES[:-4]))
        if chance.random() < 0.5
        else _gives(chance.choice(JUNK))
    )
    return property(does) if name == "__class__" else does


def _class(base: type[BaseException], body: dict[str, Any], chance: Random) -> Any:  # noqa: ANN401 - a class
    """Make a class of a name, or one that does not tell its name."""
    if chance.random() < 0.2:
        nameless = {"__name__": property(_raises(ValueError)), "__module__": 3}
        meta = type("Nameless", (type(base),), nameless)
        return meta("Oven", (base,), body)
    return type(chance.choice(["Oven", "Öfen", "x" * 3_000]), (base,), body)


class _nothing_matters:  # noqa: N801 - a block, like contextlib.suppress
    """What an exception's class does not let be set stays as it is."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> bool:
        return True


class Odd(Message):
    """A message that is none."""

    DESCRIPTOR = wrappers_pb2.StringValue.DESCRIPTOR

    def SerializeToString(self, **_: Any) -> Any:  # noqa: N802, ANN401
        return "no bytes"


class Unending:
    """Something to await that gives what no loop takes."""

    def __await__(self) -> Generator[Any, Any, Any]:
        yield 7


async def _coroutine(value: object) -> object:
    return value


def a_result(chance: Random) -> object:
    """Draw a result."""
    makers: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: wrappers_pb2.StringValue(value="done"),
        lambda: wrappers_pb2.BytesValue(value=b"x" * 70_000),
        lambda: any_pb2.Any(type_url="t" * chance.choice([1, 65_000, 70_000])),
        descriptor_pb2.UninterpretedOption.NamePart,  # lacks what it must have
        lambda: struct_pb2.Struct,
        Odd,
        Unending,
        lambda: _coroutine(_coroutine(None)),
        lambda: _coroutine(chance.choice(JUNK)),
        lambda: (number for number in range(3)),
        lambda: chance.choice(JUNK),
        lambda: chance.choice(JUNK),
    )
    return chance.choice(makers)()


def act(chance: Random) -> object:
    """Do one of all things that can go wrong, or right."""
    match chance.randrange(10):
        case 0:
            sys.exit(chance.choice(JUNK))
        case 1:
            return act(chance) if chance.random() < 0.9 else _deep(0)
        case 2 | 3 | 4:
            return a_result(chance)
        case _:
            raise an_exception(chance)


def _deep(depth: int) -> int:
    return _deep(depth + 1) + 1


def of(order: OrderAttempt) -> Random:
    """Give the chance that decides over an order: the same for each of its attempts."""
    return Random(order.labels["seed"])


def sync(order: OrderAttempt) -> object:
    """Do it in a thread."""
    return act(of(order))


async def in_loop(order: OrderAttempt) -> object:
    """Do it in the loop, now or after the next turn."""
    chance = of(order)
    if chance.random() < 0.5:
        await asyncio.sleep(0)
    return act(chance)


async def leaves_behind(order: OrderAttempt) -> None:
    """Succeed, and leave tasks and callbacks behind that would end any loop."""
    loop = asyncio.get_running_loop()
    loop.call_soon(sys.exit, 3)
    loop.call_later(0.01, functools.partial(_raise, KeyboardInterrupt()))
    loop.call_soon(loop.stop)
    left.add(loop.create_task(raises(SystemExit(4)), name="left"))


async def exits_all_the_time(order: OrderAttempt) -> None:
    """Succeed, and leave a thread behind that ends the loop all the time."""
    loop = asyncio.get_running_loop()

    def exits() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while True:
                loop.call_soon_threadsafe(sys.exit, 3)
                time.sleep(0.001)

    threading.Thread(target=exits, daemon=True).start()


left: set[asyncio.Task[Any]] = set()


async def raises(error: BaseException) -> None:
    """Raise it after the next turn of the loop."""
    await asyncio.sleep(0)
    raise error


def _raise(error: BaseException) -> None:
    raise error


async def any_of(order: OrderAttempt) -> object:
    """Do what the order's label says, in the way that it says; a good one is just done."""
    way = order.labels.get("way")
    if way == "good":
        return None
    if way == "leaves":
        await leaves_behind(order)
        return None
    return await in_loop(order)


def decorated(order: OrderAttempt) -> Awaitable[object]:
    """Do as `any_of` does: in the loop, from a thread."""
    return any_of(order)


def by_way(order: OrderAttempt) -> Any:  # noqa: ANN401 - whatever comes
    """Do as `any_of` does, from a thread; and what is sync in the thread."""
    return sync(order) if order.labels.get("way") == "sync" else any_of(order)
