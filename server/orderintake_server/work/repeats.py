"""Which calls may be repeats of earlier ones: only for these is looked what they were given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.holders import Holder

MOST_LEFT = 64
"""So many calls of one worker that its caller left are known."""


@dataclass(slots=True)
class _Calls:
    newest: int = 0
    """The greatest number that came here."""
    before: int | None = None
    """Whatever is greater was not called before this process was there; None: not known."""
    left: dict[int, None] = field(default_factory=dict)
    """Those whose callers left: what they got waits again before anything later is leased."""


class Repeats:
    """The numbers of the calls that came to this process, by worker."""

    def __init__(self) -> None:
        """Begin with none."""
        self._calls: dict[str, _Calls] = {}

    def __len__(self) -> int:
        """Return of how many workers there are any."""
        return len(self._calls)

    def may_have_leases(self, holder: Holder) -> bool:
        """Note a call; tell whether it may have been given orders before, here or elsewhere."""
        if not holder.call:
            return False
        calls = self._calls.setdefault(holder.worker_id, _Calls())
        is_new = calls.before is not None and holder.call > max(calls.newest, calls.before)
        calls.newest = max(calls.newest, holder.call)
        was_left = holder.call in calls.left
        calls.left.pop(holder.call, None)
        return not (is_new or was_left)

    def left(self, holder: Holder) -> None:
        """Note that the caller of a call left, and that what it got is given back."""
        if holder.call:
            left = self._calls.setdefault(holder.worker_id, _Calls()).left
            left[holder.call] = None
            if len(left) > MOST_LEFT:
                del left[next(iter(left))]

    def called(self, worker_id: str, newest: int) -> None:
        """Note that a worker has made its calls up to this one, and later ones after now."""
        calls = self._calls.setdefault(worker_id, _Calls())
        if calls.before is None:
            calls.before = newest

    def forget(self, worker_id: str) -> None:
        """Forget a worker."""
        self._calls.pop(worker_id, None)
