"""A caller: its name, its roles, and whose orders are its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orderintake_server.errors import Problem, Unauthenticated

EVERYBODY = "*"
"""In place of a customer: the caller acts for all of them, as a shop's back end does."""


class Role(Enum):
    """What a caller may do; roles add up."""

    CUSTOMER = "customer"
    """Place orders, and see and cancel its own."""
    VIP = "vip"
    """Together with CUSTOMER: ask for TIER_VIP."""
    SUBSCRIBER = "subscriber"
    """Read the completions of all customers."""
    WORKER = "worker"
    """Process orders."""
    OPERATOR = "operator"
    """See everything, pause and resume tiers, redrive, cancel any order; all of it is recorded."""
    OBSERVER = "observer"
    """See everything and change nothing."""


class Credential(Enum):
    """By what a caller was identified."""

    OPEN = "open"
    """By nothing: the server knows no callers, and anybody may do everything."""
    KEY = "key"
    JWT = "jwt"
    CERTIFICATE = "certificate"


@dataclass(eq=False, slots=True, weakref_slot=True, kw_only=True)
class Caller:
    """Who makes a call.

    One object stands for a credential as long as that is known, so that `is_revoked`, which is set
    when a credential is taken away, reaches the streams that it opened.
    """

    name: str
    credential: Credential
    roles: frozenset[Role]
    customer: str | None = None
    """Whose orders are its own: a customer_id, EVERYBODY's, or None: nobody's."""
    expires: int | None = None
    """When its right ends, in microseconds since 1970; None: when it is revoked."""
    is_revoked: bool = False

    def check(self, now: int) -> None:
        """Raise Unauthenticated when the caller's right has ended by `now`."""
        if self.is_revoked or (self.expires is not None and self.expires <= now):
            raise Unauthenticated(Problem.EXPIRED)
