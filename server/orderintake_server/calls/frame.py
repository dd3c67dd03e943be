"""What the transports share to serve the table of methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.api.methods import Method
    from orderintake_server.api.refusals import Refusals
    from orderintake_server.calls.door import Door
    from orderintake_server.calls.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The methods, and what is around every call of one."""

    methods: Sequence[Method]
    refusals: Refusals
    """Tell what a caller gets in place of an answer."""
    door: Door
    """Lets callers in."""
    recorder: Recorder
    """Keeps what is known of each call."""
