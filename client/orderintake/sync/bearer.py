"""The key or token that a client's calls show, and its renewal: one thread asks for all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from orderintake.access.identity import checked

if TYPE_CHECKING:
    from orderintake.access.identity import Identity
    from orderintake.errors import Unauthenticated


class Bearer:
    """What the calls of one open client show; threads may share it."""

    def __init__(self, identity: Identity) -> None:
        """Show what `identity` has."""
        self._identity = identity
        self._asking = threading.Lock()

    def token(self) -> str | None:
        """Return the key or token to show; None for neither.

        Raises:
            Exception: the function that was given for tokens raised it.
        """
        token = self._identity.token
        if self._identity.source is None or token is not None:
            return token
        return self.renewed(None)

    def may_renew(self, shown: str | None, error: Unauthenticated) -> bool:
        """Tell whether `renewed` may help after this refusal of what was shown."""
        return self._identity.may_renew(shown, error)

    def renewed(self, shown: str | None) -> str | None:
        """Return another token than the one that was refused; who asks meanwhile gets the same.

        Raises:
            Exception: as `token` does.
        """
        with self._asking:
            token = self._identity.token
            if self._identity.source is not None and token in (None, shown):
                token = self._identity.token = checked("token", self._identity.source())
            return token
