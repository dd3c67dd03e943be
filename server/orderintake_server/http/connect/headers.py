"""What the headers of a Connect call say: its form, its version, its deadline, its compression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orderintake_server.api.violations import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1"
_TIMEOUT = re.compile(r"[0-9]{1,10}")
_CHARSET = re.compile(r'charset="?utf-8"?', re.IGNORECASE)
_LISTED = re.compile(r"\s*([\w*-]+)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?")


def media_type(headers: Mapping[str, str]) -> str:
    """Return the content type of a request; empty when it is in another charset than UTF-8."""
    kind, *parameters = headers.get("Content-Type", "").split(";")
    named = [each.strip() for each in parameters if each.strip().lower().startswith("charset")]
    if not all(_CHARSET.fullmatch(each) for each in named):
        return ""
    return kind.strip().lower()


def check_version(said: str | None) -> None:
    """Raise InvalidOrder for another version of the protocol than ours; none is fine."""
    if said not in {None, VERSION}:
        raise invalid("", f"Connect-Protocol-Version must be {VERSION}")


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """Return how long the caller waits; None: for ever. Raises InvalidOrder."""
    text = headers.get("Connect-Timeout-Ms")
    if text is None:
        return None
    if not _TIMEOUT.fullmatch(text):
        raise invalid("", "Connect-Timeout-Ms must be a number of 1 to 10 digits")
    return int(text) / 1_000


def takes_gzip(accepted: str) -> bool:
    """Tell whether an Accept-Encoding names gzip."""
    for each in accepted.split(","):
        found = _LISTED.fullmatch(each)
        if found and found[1].lower() == "gzip":
            return not found[2] or any(digit not in "0." for digit in found[2])
    return False
