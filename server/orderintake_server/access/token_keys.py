"""The public keys that tokens are verified with: a JWKS file, or one key as PEM."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from jwt import PyJWK

from orderintake_server.access.checks import CheckFailed
from orderintake_server.config.watched import BadFile
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    _Edwards = ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | _Edwards

MOST_BYTES = 1024 * 1024
LEAST_RSA_BITS = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PRIVATE = {"d", "p", "q", "k"}
"""Members of a JWK that only a private key or a shared secret has."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """One public key, and the algorithms that it is for: a token never chooses by itself."""

    kid: str | None
    public: PublicKey
    algorithms: frozenset[str]
    fingerprint: tuple[str | None, bytes]
    """Is the same when a file names the same key again."""


class VerificationKeys:
    """The keys of one file."""

    def __init__(self, keys: Sequence[VerificationKey], *, have_ids: bool) -> None:
        """Hold the keys; where they `have_ids`, a token's kid must be the one of its key."""
        self._keys = tuple(keys)
        self._have_ids = have_ids
        self.fingerprints = frozenset(key.fingerprint for key in keys)

    def fitting(self, header: Mapping[str, Any]) -> VerificationKey:
        """Return the only key that fits a token's header.

        Raises CheckFailed when none fits, or several do.
        """
        kid, algorithm = header.get("kid"), header.get("alg")
        if "crit" in header:  # PyJWT before 2.12 takes what it does not understand
            raise CheckFailed("crit")
        is_named = self._have_ids and kid is not None
        named = [key for key in self._keys if not is_named or key.kid == kid]
        if is_named and not named:
            raise CheckFailed("no key has the token's kid")
        fitting = [key for key in named if algorithm in key.algorithms]
        if len(fitting) != 1:
            raise CheckFailed("not exactly one key is for the token's algorithm")
        return fitting[0]


def read_keys(path: Path) -> VerificationKeys:
    """Read the file. Raises OSError, or BadFile when it holds no key that tokens can have."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BadFile("is larger than 1 MiB")
    return _pem(data) if data.lstrip().startswith(b"-----BEGIN") else _jwks(data)


def _pem(data: bytes) -> VerificationKeys:
    if b"PRIVATE KEY-----" in data:
        raise BadFile("holds a private key; only the issuer may have that")
    if data.count(b"-----BEGIN") > 1:
        raise BadFile("holds more than one key; a JWKS may")
    try:
        key = _key(load_pem_public_key(data), kid=None, algorithm=None)
    except BadFile:
        raise
    except Exception:  # noqa: BLE001 - whatever a parser of foreign text raises
        raise BadFile("holds no public key in the form of PEM") from None
    return VerificationKeys([key], have_ids=False)


def _jwks(data: bytes) -> VerificationKeys:
    """Read a set of keys; those for other purposes are left out, as its standard says."""
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise BadFile("is neither a JWKS nor a public key in the form of PEM")
    keys = []
    for number, each in enumerate(listed, start=1):
        try:
            keys.append(_jwk(each))
        except BadFile as why:
            log.warning("a key of the JWKS is not used", number=number, why=str(why))
    if not keys:
        raise BadFile("holds no key that a token can be verified with")
    return VerificationKeys(keys, have_ids=True)


def _jwk(jwk: object) -> VerificationKey:
    """Read one key of a set. Raises BadFile that says why it is not used."""
    if not isinstance(jwk, dict):
        raise BadFile("is no object")
    if jwk.get("kty") == "oct" or jwk.keys() & _PRIVATE:
        raise BadFile("is a secret, and not a public key")
    uses = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        raise BadFile("is not for signatures")
    try:
        public = PyJWK(jwk).key
    except Exception:  # noqa: BLE001 - whatever a parser of foreign text raises
        raise BadFile("is of no known kind") from None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    return _key(public, kid=kid if isinstance(kid, str) else None, algorithm=algorithm)


def _key(public: Any, *, kid: str | None, algorithm: object) -> VerificationKey:  # noqa: ANN401
    """Check a key. Raises BadFile when no algorithm that is allowed can use it."""
    algorithms = {each for each in _algorithms(public) if algorithm in (None, each)}
    if not algorithms:
        raise BadFile("is for none of RS, PS and ES with 256, 384 and 512, and EdDSA")
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(
        kid=kid, public=public, algorithms=frozenset(algorithms), fingerprint=(kid, encoded)
    )


def _algorithms(public: object) -> frozenset[str]:
    """Return what a key of this kind can be used for."""
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < LEAST_RSA_BITS:
            raise BadFile(f"is an RSA key of less than {LEAST_RSA_BITS} bits")
        return _RSA
    if isinstance(public, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[public.curve.name]} if public.curve.name in _CURVES else ())
    if isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset({"EdDSA"})
    return frozenset()
