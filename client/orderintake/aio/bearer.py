"""The key or token that a client's calls show, and its renewal: one task asks for all."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from orderintake.access.identity import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.access.identity import Identity
    from orderintake.errors import Unauthenticated


class AsyncBearer:
    """What the calls of one open client show; it belongs to the event loop that runs."""

    def __init__(self, identity: Identity) -> None:
        """Show what `identity` has."""
        self._identity = identity
        self._asking = asyncio.Lock()

    async def token(self) -> str | None:
        """Return the key or token to show; None for neither.

        Raises:
            Exception: the function that was given for tokens raised it.
        """
        if self._identity.source is None or self._identity.token is not None:
            return self._identity.token
        return await self.renewed(None)

    def may_renew(self, shown: str | None, error: Unauthenticated) -> bool:
        """Tell whether `renewed` may help after this refusal of what was shown."""
        return self._identity.may_renew(shown, error)

    async def renewed(self, shown: str | None) -> str | None:
        """Return another token than the one that was refused; who asks meanwhile gets the same.

        Raises:
            Exception: as `token` does.
        """
        async with self._asking:
            if self._identity.token in (None, shown):
                self._identity.token = checked("token", await self._ask())
            return self._identity.token

    async def _ask(self) -> object:
        """Call the function: in a thread, unless it is an async one, since it may wait."""
        source = self._identity.source
        if source is None:
            return None
        found: object
        if inspect.iscoroutinefunction(source):
            found = source()
        else:
            found = await asyncio.to_thread(_called, source)
        return await found if inspect.isawaitable(found) else found


def _called(source: Callable[[], object]) -> object:
    """Call the function; StopIteration, which no future can hold, becomes another error."""
    try:
        return source()
    except StopIteration as error:
        raise RuntimeError("the function for tokens has no more of them") from error
