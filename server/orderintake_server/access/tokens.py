"""Tokens of an issuer (JWT): each is verified once, and its caller kept until it ends."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jwt

from orderintake_server.access.caller import Caller, Credential
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.claims import customer, name, roles, seconds
from orderintake_server.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orderintake_server.access.token_keys import VerificationKey, VerificationKeys
    from orderintake_server.clock import Clock

MOST_CALLERS = 10_000
MOST_FAILURES = 1_000
FAILURE_SECONDS = 10.0
"""For so long a token that failed is refused without another look at it."""
_SECOND = 1_000_000
"""In microseconds."""
_OPTIONS: Any = {
    "require": ["exp", "sub", "aud", "iss"],
    "verify_exp": False,  # by the service's own clock, here
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must say, and where it says what its caller may."""

    issuer: str
    audience: str
    roles_claim: str = "roles"
    customer_claim: str = "customer"
    leeway_seconds: float = 30.0
    """How far the issuer's clock may be from ours."""
    longest_seconds: float = 86_400.0
    """A token that ends later than that from now is refused: it could not be taken away."""


class Tokens:
    """Knows the callers of the tokens that one issuer signs."""

    def __init__(self, rules: TokenRules, keys: VerificationKeys, clock: Clock) -> None:
        """Verify with these keys; when a token ends is told by `clock`."""
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._failures: OrderedDict[bytes, tuple[int, CheckFailed]] = OrderedDict()
        self._signed_with: WeakKeyDictionary[Caller, object] = WeakKeyDictionary()
        """The fingerprint of each caller's key, also of those that only a stream still knows."""

    def take(self, keys: VerificationKeys) -> None:
        """Verify with these keys from now on; revoke the callers of those that are gone."""
        self._keys = keys
        self._callers.clear()
        self._failures.clear()
        for caller, fingerprint in list(self._signed_with.items()):
            caller.is_revoked = caller.is_revoked or fingerprint not in keys.fingerprints

    def caller(self, token: str) -> Caller:
        """Return whose token it is. Raises CheckFailed."""
        digest = sha256(token.encode()).digest()
        caller = self._callers.get(digest)
        if caller is None:
            return self._new_caller(digest, token)
        if caller.expires is not None and caller.expires <= self._clock():
            raise CheckFailed("exp", Problem.EXPIRED)
        self._callers.move_to_end(digest)
        return caller

    def _new_caller(self, digest: bytes, token: str) -> Caller:
        until, failed = self._failures.get(digest, (0, None))
        if failed is not None and self._clock.steady() < until:
            raise CheckFailed(failed.check, failed.problem)
        try:
            caller = self._verified(token)
        except CheckFailed as failed_now:
            _keep(self._failures, digest, self._failure(failed_now), MOST_FAILURES)
            raise
        _keep(self._callers, digest, caller, MOST_CALLERS)
        return caller

    def _failure(self, failed: CheckFailed) -> tuple[int, CheckFailed]:
        until = self._clock.steady() + round(FAILURE_SECONDS * _SECOND)
        return until, CheckFailed(failed.check, failed.problem)  # without its traceback

    def _verified(self, token: str) -> Caller:
        """Verify a token. Raises CheckFailed, whatever the token is."""
        try:
            key = self._keys.fitting(jwt.get_unverified_header(token))
            return self._caller(self._claims(token, key), key)
        except CheckFailed:
            raise
        except Exception as error:  # noqa: BLE001 - a token is foreign, and may be made for this
            raise CheckFailed(type(error).__name__) from None

    def _claims(self, token: str, key: VerificationKey) -> Mapping[str, Any]:
        return jwt.decode(
            token,
            key.public,
            algorithms=sorted(key.algorithms),
            issuer=self._rules.issuer,
            audience=self._rules.audience,
            options=_OPTIONS,
        )

    def _caller(self, claims: Mapping[str, Any], key: VerificationKey) -> Caller:
        expires = self._expires(claims)
        caller = Caller(
            name=name(claims),
            credential=Credential.JWT,
            roles=roles(claims, self._rules.roles_claim),
            customer=customer(claims, self._rules.customer_claim),
            expires=expires,
        )
        self._signed_with[caller] = key.fingerprint
        return caller

    def _expires(self, claims: Mapping[str, Any]) -> int:
        """Check the times of a token; return when its right ends, in microseconds since 1970."""
        now, leeway = self._clock() / _SECOND, self._rules.leeway_seconds
        ends = seconds(claims, "exp", otherwise=0.0)
        if ends + leeway <= now:
            raise CheckFailed("exp", Problem.EXPIRED)
        if ends > now + self._rules.longest_seconds + leeway:
            raise CheckFailed("exp is too far ahead")
        for claim in ("nbf", "iat"):
            if seconds(claims, claim, otherwise=now) > now + leeway:
                raise CheckFailed(claim)
        return int((ends + leeway) * _SECOND)


def _keep(kept: OrderedDict[bytes, Any], digest: bytes, value: object, most: int) -> None:
    """Keep a value as the newest, and no more than `most`."""
    kept[digest] = value
    kept.move_to_end(digest)
    if len(kept) > most:
        kept.popitem(last=False)
