"""What the verbs of workers stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.dispatch.requests.remote import RemoteRequests
    from orderintake_server.metrics.meters import Work
    from orderintake_server.store.base import AtWork
    from orderintake_server.work.running import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The parts that all of them use."""

    at_work: AtWork
    """What the store knows of workers."""
    remote: RemoteRequests
    """The one way to change that."""
    running: Running
    """What this server knows of their attempts."""
    meters: Work
