"""Who calls: today nobody is asked, and everybody may call everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a call, as far as a transport could tell; given to every endpoint."""

    name: str


ANYBODY = Caller(name="anybody")
"""A caller who was not asked for a name."""
