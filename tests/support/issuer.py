"""An issuer of tokens, and what else can be made to look like one of its tokens."""

import base64
import functools
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ISSUER = "https://issuer.example"
LIFE = 3_600
"""Seconds that a token lives, unless told otherwise."""


class Key:
    """A private key with its kid; kinds are RSA, EC and Ed25519."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private = _private(kid, algorithm)

    def jwk(self, **changed: object) -> dict[str, Any]:
        """Give the public key as a JWK; members that are None are left out."""
        kind: Any = jwt.get_algorithm_by_name(self.algorithm)
        whole = json.loads(kind.to_jwk(self.private.public_key()))
        whole |= {"kid": self.kid, "use": "sig", "alg": self.algorithm} | changed
        whole.pop("key_ops", None) if "key_ops" not in changed else None
        return {name: value for name, value in whole.items() if value is not None}

    def pem(self) -> bytes:
        """Give the public key as PEM."""
        public: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return public

    def private_pem(self) -> bytes:
        """Give the private key as PEM."""
        private: bytes = self.private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        return private

    def sign(self, claims: dict[str, Any], **header: object) -> str:
        """Sign these claims, whatever they are; a kid of None is left out of the header."""
        kid = header.pop("kid", self.kid)
        named = header if kid is None else {"kid": kid, **header}
        return jwt.api_jws.encode(
            json.dumps(claims).encode(), self.private, self.algorithm, headers=named
        )


@functools.cache
def _private(kid: str, algorithm: str) -> Any:  # noqa: ANN401 - a private key of any kind
    """Make a key once for all tests of a process."""
    if algorithm[:2] in {"RS", "PS"}:
        return rsa.generate_private_key(65_537, 1024 if kid == "weak" else 2048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, ec.EllipticCurve] = {
        "ES256": ec.SECP256R1(),
        "ES256K": ec.SECP256K1(),
        "ES384": ec.SECP384R1(),
        "ES512": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[algorithm])


def claims(now: float, *, life: float = LIFE, **changed: object) -> dict[str, Any]:
    """Give the claims of a good token; those that are None are left out."""
    whole = {
        "iss": ISSUER,
        "aud": "orderintake",
        "sub": "shop",
        "exp": int(now + life),
        "roles": ["customer", "vip"],
        "customer": "ada",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def jwks(*keys: Key | dict[str, Any]) -> bytes:
    """Give a set of public keys."""
    return json.dumps(
        {"keys": [each.jwk() if isinstance(each, Key) else each for each in keys]}
    ).encode()


def write_jwks(path: Path, *keys: Key) -> Path:
    """Put a set of public keys into the file's place."""
    made = path.with_suffix(".new")
    made.write_bytes(jwks(*keys))
    made.rename(path)
    return path


def raw(header: object, payload: object, signature: bytes = b"x" * 64) -> str:
    """Put a token together of whatever is given; bytes are taken as they are."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    ]
    return ".".join(_base64(part) for part in (*parts, signature))


def with_hmac(header: dict[str, Any], payload: object, secret: bytes) -> str:
    """Sign with a shared secret, as an attacker does who takes a public key for one."""
    unsigned = raw(header, payload).rpartition(".")[0]
    return f"{unsigned}.{_base64(hmac.new(secret, unsigned.encode(), hashlib.sha256).digest())}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
