"""Reads what the claims of a verified token say of its caller."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orderintake_server.access.caller import Role
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.entries import is_customer
from orderintake_server.texts import is_printable

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NAME_CHARACTERS = 256
_ROLES = {role.value: role for role in Role}


def name(claims: Mapping[str, Any]) -> str:
    """Return the caller's name. Raises CheckFailed when it could not be shown."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_NAME_CHARACTERS:
        raise CheckFailed("sub is not a text of 1 to 256 characters")
    if not is_printable(subject):
        raise CheckFailed("sub is not printable")
    return subject


def roles(claims: Mapping[str, Any], path: str) -> frozenset[Role]:
    """Return the roles: a list, or a text with spaces between; those that are none do not count."""
    found = _at(claims, path)
    given = found.split(" ") if isinstance(found, str) else found
    if not isinstance(given, list):
        return frozenset()
    return frozenset(_ROLES[role] for role in given if isinstance(role, str) and role in _ROLES)


def customer(claims: Mapping[str, Any], path: str) -> str | None:
    """Return the customer for whom the caller acts. Raises CheckFailed when it can be none."""
    found = _at(claims, path)
    if found is None:
        return None
    if is_customer(found):
        return str(found)
    raise CheckFailed("the customer is not a text of 1 to 128 printable characters")


def seconds(claims: Mapping[str, Any], claim: str, *, otherwise: float) -> float:
    """Return a time in seconds since 1970. Raises CheckFailed when it is no number."""
    value = claims.get(claim, otherwise)
    if type(value) not in {int, float}:
        raise CheckFailed(f"{claim} is not a number")
    if not math.isfinite(value):  # which raises OverflowError for hundreds of digits
        raise CheckFailed(f"{claim} is not finite")
    return float(value)


def _at(claims: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - whatever the issuer put there
    """Return the claim of this very name, else the one inside others: a.b is b in a."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
