"""How a call's credentials tell its caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orderintake_server.access.caller import EVERYBODY, Caller, Credential, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(slots=True)
class Credentials:
    """What a call says of its caller."""

    authorization: Sequence[str]
    """The values of all its `authorization` headers."""
    certificate: Callable[[], str | None]
    """Returns the URI that its connection's client certificate names, None if there is none."""
    peer: Callable[[], str]
    """Returns the caller's address, for the log."""


class Callers(Protocol):
    """Knows who may call."""

    def identify(self, credentials: Credentials) -> Caller:
        """Return who calls. Raises Unauthenticated."""


class OwnProcesses:
    """Lets in the worker processes of this server: nobody else reaches where they call."""

    _PROCESS = Caller(
        name="worker process", credential=Credential.OPEN, roles=frozenset({Role.WORKER})
    )

    def identify(self, _: Credentials) -> Caller:
        """Return the caller that stands for any of them."""
        return self._PROCESS


class OpenDoor:
    """Lets anybody do everything: for a server that only its own machine can reach."""

    _ANYBODY = Caller(
        name="anybody", credential=Credential.OPEN, roles=frozenset(Role), customer=EVERYBODY
    )

    def identify(self, _: Credentials) -> Caller:
        """Return the caller that stands for anybody."""
        return self._ANYBODY
