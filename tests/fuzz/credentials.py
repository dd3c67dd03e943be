"""Fuzzes what reads credentials: headers, tokens, keys to verify them with, and access.toml."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from orderintake_server.access import Caller, KnownCallers
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.entries import parse
from orderintake_server.access.table import AccessTable
from orderintake_server.access.token_keys import VerificationKeys, read_keys
from orderintake_server.access.tokens import TokenRules, Tokens
from orderintake_server.config.watched import BadFile
from orderintake_server.errors import Unauthenticated
from orderintake_server.texts import is_printable
from support.callers import entry, key_of, presented
from support.clocks import Microseconds
from support.issuer import ISSUER, Key, claims, jwks, raw

NOW = Microseconds()
SEPARATOR = b"\n"
"""Between the headers of a call, and between what a token says in its header and in its claims."""


@functools.cache
def _key() -> Key:
    return Key("a")


@functools.cache
def _keys_file() -> Path:
    return Path(tempfile.mkdtemp(prefix="orderintake-fuzz-")) / "keys.json"


@functools.cache
def _tokens() -> Tokens:
    path = _keys_file().with_name("good.json")
    path.write_bytes(jwks(_key()))
    rules = TokenRules(issuer=ISSUER, audience="orderintake", roles_claim="a.roles")
    return Tokens(rules, read_keys(path), NOW)


@functools.cache
def _callers() -> KnownCallers:
    table = AccessTable(parse(entry("shop", "customer", customer="*")))
    return KnownCallers(table, _tokens())


def headers(data: bytes) -> None:
    """Identify a caller by headers of any kind and number; gRPC gives them as Latin-1 or UTF-8."""
    given = [each.decode(errors="surrogateescape") for each in data.split(SEPARATOR)]
    try:
        caller = _callers().identify(presented(*(each for each in given if each)))
    except Unauthenticated as refusal:
        _check_told(refusal)
        return
    assert caller.name == "shop"


def _check_told(refusal: Unauthenticated) -> None:
    assert refusal.problem.name in {"MISSING", "INVALID", "EXPIRED"}
    assert refusal.text.isprintable()


def token(data: bytes) -> None:
    """Read a token that the issuer did sign, whatever it may say."""
    header, _, said = data.partition(SEPARATOR)
    try:
        caller = _tokens().caller(_signed(header, said))
    except CheckFailed as failed:
        str(failed).encode()
        return
    _check(caller)


def _signed(header: bytes, said: bytes) -> str:
    """Sign what is said, under a header that may say anything more."""
    from jwt import api_jws  # noqa: PLC0415 - read again when it is watched for coverage

    more: dict[str, Any] = {}
    try:
        found = json.loads(header)
        more = found if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        pass
    key: Any = _key()
    unsafe = {"alg", "b64", "crit"}  # the signer itself acts on them, and may refuse
    kept = {name: value for name, value in more.items() if name not in unsafe}
    try:
        return api_jws.encode(said, key.private, key.algorithm, headers={"kid": key.kid} | kept)
    except Exception:  # noqa: BLE001 - what cannot be signed is sent as it is
        return raw(header, said)


def _check(caller: Caller) -> None:
    assert caller.name
    assert is_printable(caller.name)
    assert caller.customer is None or (caller.customer and is_printable(caller.customer))
    assert caller.expires is not None
    assert 0 < caller.expires - NOW() <= 90_000 * 1_000_000


def keys(data: bytes) -> None:
    """Read a file of public keys: it is taken or refused, and then fits tokens or does not."""
    path = _keys_file()
    path.write_bytes(data)
    try:
        found: VerificationKeys = read_keys(path)
    except BadFile as why:
        str(why).encode()
        return
    for algorithm in ("none", "HS256", "RS256", "ES256", "EdDSA"):
        _check_fitting(found, algorithm)


def _check_fitting(found: VerificationKeys, algorithm: str) -> None:
    try:
        fitting = found.fitting({"alg": algorithm})
    except CheckFailed:
        return
    assert algorithm in fitting.algorithms
    assert algorithm not in {"none", "HS256"}


def access_file(data: bytes) -> None:
    """Read access.toml: each entry that it gives is one caller, with a role."""
    try:
        entries = parse(data.decode(errors="replace"))
    except BadFile as why:
        str(why).encode()
        return
    assert all(each.roles for each in entries)
    table = AccessTable(entries)
    assert table.has_certificates == any(isinstance(each.credential, str) for each in entries)


def header_seeds() -> list[bytes]:
    """Give headers that are right, and some that nearly are."""
    key, signed = key_of("shop").encode(), _key().sign(claims(NOW() / 1e6)).encode()
    return [
        *(b"Bearer " + key, b"bearer " + key + b"x", b"Bearer  " + key, b"Basic " + key, b""),
        *(b"Bearer " + key + SEPARATOR + b"Bearer " + key, b"Bearer \xff\xfe", b"Bearer e.e.e"),
        *(b"Bearer " + signed[:-4], b"Bearer " + b"a" * 7_000),
    ]


def token_seeds() -> list[bytes]:
    """Give a header and claims that are right, and some of other types."""
    now = NOW() / 1e6
    says = [
        claims(now),
        claims(now, a={"roles": "customer vip"}, aud=["orderintake"], nbf=0, iat=now),
        claims(now, exp=1e308, customer=7, roles={"a": []}),
        claims(now, exp=10**30, sub=["x"]),
    ]
    return [b"{}" + SEPARATOR + json.dumps(each).encode() for each in says] + [
        b'{"kid": "a", "typ": "JWT"}\n[]',
        b'{"kid": ["a"], "crit": ["exp"]}\n{"exp": NaN}',
    ]


def keys_seeds() -> list[bytes]:
    """Give key files of both forms, and keys that none may use."""
    key = _key()
    return [
        *(key.pem(), key.private_pem(), jwks(key), jwks(Key("r", "RS256"), Key("e", "EdDSA"))),
        jwks({"kty": "oct", "k": "c2VjcmV0"}, key.jwk(use="enc"), key.jwk(alg="RS256")),
        jwks({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "RSA", "n": "AQ"}),
        b'{"keys": [7, null, {}, {"kty": []}]}',
        b"[]",
    ]


def access_seeds() -> list[bytes]:
    """Give files with keys, with certificates, and with faults."""
    shop = entry("shop", "customer", "vip", customer="*")
    kitchen = '[kitchen]\ncertificate = "spiffe://shop.example/kitchen"\nroles = ["worker"]\n'
    texts = [shop, shop + kitchen, f"{kitchen}customer = 7\n", "[a]\n[[a]]\n", "a.b.c = 1\n", ""]
    return [each.encode() for each in texts]
