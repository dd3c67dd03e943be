"""Whose fault an error of an engine is: the shape of the table that each engine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orderintake_server.errors import StoreError, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_Code = TypeVar("_Code")

Blame = type[StoreError]
"""StoreRefused: the change's data. StoreBusy: a passing lack. StoreAway: the connection. StoreFull:
the disk. StoreBroken: the store's own death, the only one that ends a server."""


def blame(table: Mapping[_Code, Blame], *codes: _Code) -> Blame:
    """Return the table's row of the first of the codes that has one, the most exact code first.

    Without a row it is the fault of the change's data: an unknown error never ends a server.
    """
    return next((table[code] for code in codes if code in table), StoreRefused)
