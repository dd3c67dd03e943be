"""Who a client says it is: an API key or a token, checked before anything is sent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake.errors import Unauthenticated

Token = str | Callable[[], str]
AsyncToken = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns one that is valid now; see AsyncClient."""

_ONE_WORD = re.compile(r"[\x21-\x7e]+")


class Identity:
    """A key or a token, and the function that gives the next one. No text made of it shows them.

    Attributes:
        source: the function that returns a token, if there is one.
        token: what is shown to the server now; None before the function was asked, or for nothing.
    """

    def __init__(self, *, api_key: str | None, token: AsyncToken | None) -> None:
        """Show this key, or this token.

        Raises:
            TypeError, ValueError: it is none, or both are given.
        """
        if api_key is not None and token is not None:
            raise ValueError("give either api_key or token, not both")
        self.source = token if callable(token) else None
        self.token: str | None = None
        if api_key is not None:
            self.token = checked("api_key", api_key)
        elif token is not None and not callable(token):
            self.token = checked("token", token)

    @property
    def is_given(self) -> bool:
        """Whether there is a key or token to show."""
        return self.source is not None or self.token is not None

    def may_renew(self, shown: str | None, error: Unauthenticated) -> bool:
        """Tell whether another token may be accepted in place of the one that was refused.

        It may when that one has expired. Either way the refused one is forgotten, so that the next
        call asks for another: one that is not valid may be so since the issuer changed its key.
        """
        if self.source is None:
            return False
        if error.problem in {"EXPIRED", "INVALID"} and self.token == shown:
            self.token = None
        return error.problem == "EXPIRED"


def checked(name: str, text: object) -> str:
    """Return a key or token without the white space around it, such as the end of a file's line.

    Raises:
        TypeError, ValueError: it is none; the error does not show it.
    """
    if inspect.iscoroutine(text):
        text.close()
        raise TypeError(f"{name} must be text: an async function for it is for AsyncClient only")
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text, not {type(text).__name__}")
    text = text.strip()
    if not _ONE_WORD.fullmatch(text):
        raise ValueError(f"{name} must be one word of printable ASCII, without 'Bearer' before it")
    return text
