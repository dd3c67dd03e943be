"""The caller of a method: for now no caller is identified, and any caller may call everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a call, as far as the transport knows; every endpoint gets it."""

    name: str


ANYBODY = Caller(name="anybody")
"""A caller that was not identified."""
