"""What fields that several requests have may hold."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from orderintake.v1 import order_pb2
from orderintake_server.api.violations import Violations, is_text
from orderintake_server.domain import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

LABELS = 16
LABEL_KEY_CHARACTERS = 63
LABEL_VALUE_CHARACTERS = 256
"""These limits are the contract's; the messages' comments state them."""
FIRST_SECOND, LAST_SECOND, NANOS = -62_135_596_800, 253_402_300_799, 1_000_000_000
"""The first second of the year 1 and the last of the year 9999: the bounds of a Timestamp."""
TIERS = {
    order_pb2.TIER_UNSPECIFIED: Tier.REGULAR,
    order_pb2.TIER_REGULAR: Tier.REGULAR,
    order_pb2.TIER_VIP: Tier.VIP,
}
"""The tiers by their numbers in requests."""


def check_labels(labels: Mapping[str, str], violations: Violations) -> None:
    """Name labels that no order can have."""
    if len(labels) > LABELS:
        violations.add("labels", f"has {len(labels)} labels; at most {LABELS} are allowed")
    for key in islice(labels, LABELS):
        if not is_text(key) or len(key) > LABEL_KEY_CHARACTERS:
            violations.check_text(_label(key), key, most=LABEL_KEY_CHARACTERS)
        if len(labels[key]) > LABEL_VALUE_CHARACTERS:
            violations.add(
                _label(key),
                f"has {len(labels[key])} characters; at most {LABEL_VALUE_CHARACTERS} are allowed",
            )


def _label(key: str) -> str:
    return f"labels[{key[:LABEL_KEY_CHARACTERS]!r}]"


def is_time(timestamp: Timestamp) -> bool:
    """Tell whether it is a time from the year 1 to 9999."""
    return FIRST_SECOND <= timestamp.seconds <= LAST_SECOND and 0 <= timestamp.nanos < NANOS


def microseconds(timestamp: Timestamp) -> int:
    """Return a time in microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


def check_tier(number: int, violations: Violations) -> None:
    """Name a tier that there is not."""
    if number not in TIERS:
        violations.add("tier", f"{number} is no tier of this version")


def wanted_tier(number: int) -> Tier | None:
    """Return the tier that a filter wants, None for any."""
    return Tier(number) if number else None
