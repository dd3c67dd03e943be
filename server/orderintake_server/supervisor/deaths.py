"""What the end of a worker process means for the orders that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orderintake_server.logger import get_logger
from orderintake_server.supervisor.process import told_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.supervisor.process import WorkerProcess

STUCK = 75
"""The exit code of a process that gave back what it had, for too many of its slots are stuck."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """An order whose attempt ended with its process: the crash counts as the order's."""

    accept_sequence: int
    crash_count: int
    is_quarantined: bool


class Deaths(Protocol):
    """Takes back what a worker had; the store may be away: then it takes until it is back."""

    def expect(self, worker_id: str) -> None:
        """Know that this worker is supervised: it ends with this server."""

    async def died(self, worker_id: str) -> Sequence[Charged]:
        """Take back what it had, unless it was ended in order; return what that is charged to."""

    async def ended(self, worker_id: str) -> int:
        """Take back what it had, charged to nobody; return how many orders wait again."""


async def account(process: WorkerProcess, code: int, deaths: Deaths) -> None:
    """Take back what a process had that has ended, and tell the log what that means.

    Who was told to stop is charged with nothing, however it ended then. Whoever else ended without
    having said so to the server has died, whatever its exit code.
    """
    about = {"worker": process.number, "pid": process.pid}
    if process.is_told_to_stop:
        returned = await deaths.ended(process.worker_id)
        log.info("a worker process stopped", **about, end=told_end(code), returned=returned)
        return
    charged = await deaths.died(process.worker_id)
    if code == STUCK:
        log.error("a worker process ended: half of its handlers do not end", **about)
    else:
        log.error("a worker process died", **about, end=told_end(code), orders=len(charged))
    for each in charged:
        _tell_of(each, about)


def _tell_of(charge: Charged, about: dict[str, int]) -> None:
    """Tell the log to which order a death is charged."""
    log.warning(
        "an attempt ended with its worker process",
        **about,
        accept_sequence=charge.accept_sequence,
        crash_count=charge.crash_count,
        quarantined=charge.is_quarantined,
    )
