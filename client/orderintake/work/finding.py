"""How a handler is found by its name, and refused at start when it cannot work."""

from __future__ import annotations

import importlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from orderintake.work.contained import Contained, tried
from orderintake.work.outcome import described

if TYPE_CHECKING:
    from collections.abc import Callable


class HandlerUnusable(Exception):
    """A handler, or a lifespan, that cannot be found or cannot work; the text tells why."""


def find(path: str, what: str = "handler") -> Callable[..., Any]:
    """Import what stands at `package.module:callable`.

    Raises HandlerUnusable, naming what is wrong with the path or what importing it raised.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise HandlerUnusable(f"{what} {path!r} must have the form package.module:callable")
    found: Any = None
    with Contained() as importing:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    if importing.error is not None:
        raise HandlerUnusable(f"{what} {path!r} cannot be loaded: {why(importing.error)}")
    if not callable(found):
        raise HandlerUnusable(f"{what} {path!r} is not callable")
    return found  # type: ignore[no-any-return]


def check(handler: Callable[..., Any], name: str) -> None:
    """Raise HandlerUnusable when a handler could not process any order, telling why."""
    with Contained() as checking:
        reason = _unfit(handler)
    if checking.error is not None:
        reason = f"cannot be looked at: {why(checking.error)}"
    if reason:
        raise HandlerUnusable(f"handler {name!r} {reason}")


def why(error: BaseException) -> str:
    """Tell what user code raised, whatever it is."""
    return tried(lambda: described(error), "an exception that cannot be told")


def is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether a call gives a coroutine, so that it can be made in the event loop."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(_call_of(handler))


def _unfit(handler: Callable[..., Any]) -> str:
    """Tell why a handler cannot work; nothing when it may."""
    if isinstance(handler, type):
        return "is a class: it needs an instance, or a function"
    for function in (handler, _call_of(handler)):
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return "is a generator, of which nothing would ever run: it must not yield"
    try:
        signature = inspect.signature(handler)
    except ValueError as error:  # some builtins do not tell
        return f"cannot be called: {error}" if isinstance(handler, partial) else ""
    try:
        signature.bind(object())
    except TypeError as error:
        return f"cannot be called with one argument, the order: {error}"
    return ""


def _call_of(handler: Callable[..., Any]) -> Any:  # noqa: ANN401 - whatever it is
    """Give what is called when an object is."""
    return getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
