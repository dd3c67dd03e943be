"""Tokens: what attackers make is refused, and a good one is verified once, until it ends."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.access import AccessTable, Caller, KnownCallers, Role, tokens
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.token_keys import VerificationKeys, read_keys
from orderintake_server.access.tokens import TokenRules, Tokens
from orderintake_server.errors import Problem, Unauthenticated
from orderintake_server.metrics import Calls
from support.callers import presented
from support.clocks import SECOND, Microseconds
from support.issuer import ISSUER, Key, claims, jwks, raw, with_hmac

RSA, EC, ED = Key("rsa", "RS256"), Key("ec"), Key("ed", "EdDSA")


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[bytes], VerificationKeys]:
    """Read keys from a file, as a server does."""

    def read(data: bytes) -> VerificationKeys:
        path = tmp_path / "keys"
        path.write_bytes(data)
        return read_keys(path)

    return read


class Desk:
    """One server's view of tokens, with a clock that the test turns."""

    def __init__(self, keys: VerificationKeys, **rules: Any) -> None:  # noqa: ANN401
        self.clock = Microseconds()
        self.tokens = Tokens(
            TokenRules(**{"issuer": ISSUER, "audience": "orderintake", **rules}), keys, self.clock
        )
        self.callers = KnownCallers(AccessTable(), self.tokens)
        self.calls = Calls()

    @property
    def now(self) -> float:
        return self.clock.now / SECOND

    def caller(self, token: str) -> Caller:
        return self.callers.identify(presented(f"Bearer {token}"))

    def problem(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            self.caller(token)
        self.calls.not_known(refused.value)
        return refused.value.problem.name

    def check(self, token: str) -> str:
        """Tell which check a token fails: it is for the log."""
        with pytest.raises(CheckFailed) as failed:
            self.tokens.caller(token)
        return failed.value.check


@pytest.fixture
def desk(keys: Callable[[bytes], VerificationKeys]) -> Desk:
    return Desk(keys(jwks(RSA, EC, ED)))


@pytest.mark.parametrize("key", [RSA, EC, ED, *(Key(a, a) for a in ("PS384", "ES384", "ES512"))])
def test_a_good_token_tells_its_caller(keys: Callable[[bytes], VerificationKeys], key: Key) -> None:
    desk = Desk(keys(jwks(key)))
    caller = desk.caller(key.sign(claims(desk.now)))
    assert (caller.name, caller.credential.value, caller.customer) == ("shop", "jwt", "ada")
    assert caller.roles == {Role.CUSTOMER, Role.VIP}
    assert caller.expires == (int(desk.now + 3_600) + 30) * SECOND


def test_a_token_of_a_key_as_pem_is_known_whatever_its_kid(
    keys: Callable[[bytes], VerificationKeys],
) -> None:
    desk = Desk(keys(RSA.pem()))
    for kid in ("rsa", "other", None):
        assert desk.caller(RSA.sign(claims(desk.now), kid=kid)).name == "shop"
    assert desk.problem(EC.sign(claims(desk.now))) == "INVALID"


def test_a_token_without_kid_needs_exactly_one_key_that_fits(
    keys: Callable[[bytes], VerificationKeys],
) -> None:
    desk = Desk(keys(jwks(RSA, EC)))
    assert desk.caller(EC.sign(claims(desk.now), kid=None)).name == "shop"
    desk = Desk(keys(jwks(EC, Key("ec2"))))
    assert "exactly one key" in desk.check(EC.sign(claims(desk.now), kid=None))


def deep(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


ATTACKS: dict[str, tuple[Callable[[Desk], str], str]] = {
    "none": (lambda d: raw({"alg": "none", "kid": "rsa"}, claims(d.now), b""), "exactly one"),
    "None": (lambda d: raw({"alg": "None", "kid": "rsa"}, claims(d.now), b""), "exactly one"),
    "no algorithm": (lambda d: raw({"kid": "rsa"}, claims(d.now)), "exactly one"),
    "HMAC with the public key": (
        lambda d: with_hmac({"alg": "HS256", "kid": "rsa"}, claims(d.now), RSA.pem()),
        "exactly one",
    ),
    "HMAC without kid": (
        lambda d: with_hmac({"alg": "HS256"}, claims(d.now), RSA.pem()),
        "exactly one",
    ),
    "a key of another kind": (
        lambda d: raw({"alg": "ES256", "kid": "rsa"}, claims(d.now)),
        "exactly one",
    ),
    "another algorithm of the same key": (
        lambda d: Key("rsa", "RS256").sign(claims(d.now), alg="RS512"),
        "exactly one",
    ),
    "an algorithm that is a list": (
        lambda d: raw({"alg": ["RS256"], "kid": "rsa"}, claims(d.now)),
        "TypeError",
    ),
    "an unknown kid": (lambda d: EC.sign(claims(d.now), kid="new"), "no key has the token's kid"),
    "a kid that is a path": (lambda d: EC.sign(claims(d.now), kid="../../dev/null"), "no key has"),
    "a kid that is a number": (lambda d: raw({"alg": "ES256", "kid": 7}, {}), "InvalidTokenError"),
    "another's key of the same kid": (
        lambda d: jwt.encode(
            claims(d.now), Key("mallory").private_pem(), "ES256", headers={"kid": "ec"}
        ),
        "InvalidSignatureError",
    ),
    "its own key in the header": (
        lambda d: jwt.encode(
            claims(d.now),
            Key("mallory").private_pem(),
            "ES256",
            headers={"kid": "ec", "jwk": Key("mallory").jwk(), "jku": "https://evil.example"},
        ),
        "InvalidSignatureError",
    ),
    "an empty signature": (
        lambda d: EC.sign(claims(d.now)).rpartition(".")[0] + ".",
        "InvalidSignatureError",
    ),
    "a changed payload": (
        lambda d: ".".join(
            (
                EC.sign(claims(d.now)).split(".")[0],
                raw({}, claims(d.now, sub="root")).split(".")[1],
                EC.sign(claims(d.now)).split(".")[2],
            )
        ),
        "InvalidSignatureError",
    ),
    "crit": (lambda d: EC.sign(claims(d.now), crit=["exp2"]), ""),
    "b64 false": (lambda d: raw({"alg": "ES256", "kid": "ec", "b64": False}, b""), ""),
    "another issuer": (lambda d: EC.sign(claims(d.now, iss=ISSUER + "/")), "InvalidIssuerError"),
    "a list of issuers": (lambda d: EC.sign(claims(d.now) | {"iss": [ISSUER]}), ""),
    "another audience": (lambda d: EC.sign(claims(d.now, aud="orders")), "InvalidAudienceError"),
    "a list of other audiences": (
        lambda d: EC.sign(claims(d.now, aud=["orderintake2", "*"])),
        "InvalidAudienceError",
    ),
    "a list of audiences that are not texts": (
        lambda d: EC.sign(claims(d.now, aud=["orderintake", 7])),
        "InvalidAudienceError",
    ),
    "no audience": (lambda d: EC.sign(claims(d.now, aud=None)), "MissingRequiredClaimError"),
    "no issuer": (lambda d: EC.sign(claims(d.now, iss=None)), "MissingRequiredClaimError"),
    "no name": (lambda d: EC.sign(claims(d.now, sub=None)), "MissingRequiredClaimError"),
    "no end": (lambda d: EC.sign(claims(d.now) | {"exp": None}), "MissingRequiredClaimError"),
    "a name that is a number": (lambda d: EC.sign(claims(d.now) | {"sub": 7}), ""),
    "a name that forges a line": (lambda d: EC.sign(claims(d.now, sub="a\nb")), "not printable"),
    "a name without end": (lambda d: EC.sign(claims(d.now, sub="a" * 257)), "1 to 256"),
    "an end after the end of time": (lambda d: EC.sign(claims(d.now, exp=10**30)), "too far"),
    "an end with 400 digits": (lambda d: EC.sign(claims(d.now, exp=10**400)), "OverflowError"),
    "an end that is infinite": (lambda d: EC.sign(claims(d.now, exp=float("inf"))), "not finite"),
    "an end that is no number": (lambda d: EC.sign(claims(d.now, exp=float("nan"))), "not finite"),
    "an end that is a text": (lambda d: EC.sign(claims(d.now, exp=str(2**40))), "not a number"),
    "an end that is true": (lambda d: EC.sign(claims(d.now, exp=True)), "not a number"),
    "an end in two days": (lambda d: EC.sign(claims(d.now, life=172_800)), "too far ahead"),
    "not before a minute from now": (lambda d: EC.sign(claims(d.now, nbf=d.now + 60)), "nbf"),
    "issued in a minute": (lambda d: EC.sign(claims(d.now, iat=d.now + 60)), "iat"),
    "a customer that is a list": (lambda d: EC.sign(claims(d.now, customer=["ada"])), "customer"),
    "an empty customer": (lambda d: EC.sign(claims(d.now, customer="")), "customer"),
    "claims that are a list": (lambda d: raw({"alg": "ES256", "kid": "ec"}, []), ""),
    "deep nesting": (lambda _: raw({"alg": "ES256", "kid": "ec"}, deep(800)), ""),
    "deep nesting in the header": (lambda _: raw(deep(800), {}), ""),
    "junk": (lambda _: "eyJhbGciOiJSUzI1NiJ9", "DecodeError"),
    "dots": (lambda _: "..", "DecodeError"),
    "five parts, as if encrypted": (lambda _: "eyJhbGciOiJSUzI1NiJ9.a.b.c.d", "DecodeError"),
    "not base64": (lambda _: "e!J.e!J.e!J", "DecodeError"),
    "no letters of ASCII": (lambda _: "eyJé.ü.ß", ""),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_invalid(desk: Desk, name: str) -> None:
    make, check = ATTACKS[name]
    token = make(desk)
    assert desk.problem(token) == "INVALID"
    assert desk.problem(token) == "INVALID"
    assert check in desk.check(token)
    assert desk.calls.authentication_failures[("INVALID",)] == 2


def test_a_key_of_the_wrong_kind_is_invalid_also_when_the_library_raises_type_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object, **__: object) -> dict[str, Any]:
        raise TypeError("Expecting a PEM-formatted key.")

    monkeypatch.setattr(jwt, "decode", decode)
    assert desk.problem(EC.sign(claims(desk.now))) == "INVALID"


def test_a_huge_token_is_refused_unread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.tokens, "caller", None)
    assert desk.problem(EC.sign(claims(desk.now, x="x" * 7_000))) == "INVALID"


def test_what_the_issuer_signed_for_several_is_for_us_too(desk: Desk) -> None:
    assert desk.caller(EC.sign(claims(desk.now, aud=["others", "orderintake"]))).name == "shop"


def test_a_token_ends_by_our_clock_and_the_leeway(desk: Desk) -> None:
    token = EC.sign(claims(desk.now, life=60))
    caller = desk.caller(token)
    desk.clock.turn(89)
    caller.check(desk.clock())
    assert desk.caller(token) is caller
    desk.clock.turn(2)
    assert desk.problem(token) == "EXPIRED"
    with pytest.raises(Unauthenticated) as ended:
        caller.check(desk.clock())
    assert ended.value.problem is Problem.EXPIRED
    fresh = Desk(desk.tokens._keys)  # noqa: SLF001 - of the same file
    fresh.clock.now = desk.clock.now
    assert fresh.problem(token) == "EXPIRED"


def test_a_clock_that_leaps_back_brings_a_token_back(desk: Desk) -> None:
    token = EC.sign(claims(desk.now, life=60))
    caller = desk.caller(token)
    desk.clock.leap(3_600)
    assert desk.problem(token) == "EXPIRED"
    desk.clock.leap(-3_600)
    assert desk.caller(token) is caller


def test_a_token_is_verified_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token = EC.sign(claims(desk.now))
    caller = desk.caller(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert desk.caller(token) is caller


def test_a_failure_is_remembered_for_ten_seconds(desk: Desk) -> None:
    token = EC.sign(claims(desk.now, nbf=desk.now + 31))
    assert desk.problem(token) == "INVALID"
    desk.clock.turn(9)
    assert desk.problem(token) == "INVALID"
    desk.clock.turn(2)
    assert desk.caller(token).name == "shop"


def test_no_more_tokens_and_failures_are_kept_than_may(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_CALLERS", 2)
    monkeypatch.setattr(tokens, "MOST_FAILURES", 2)
    made = [EC.sign(claims(desk.now, sub=name)) for name in "abc"]
    first, second = desk.caller(made[0]), desk.caller(made[1])
    assert desk.caller(made[0]) is first
    third = desk.caller(made[2])  # takes the place of the one that was used least recently
    assert desk.caller(made[0]) is first
    assert desk.caller(made[2]) is third
    assert desk.caller(made[1]) is not second
    for number in range(3):
        desk.problem(f"eyJ.{number}.")
    assert len(desk.tokens._failures) == 2  # noqa: SLF001 - nothing else tells


def test_when_a_key_goes_its_tokens_are_refused_and_their_callers_revoked(
    desk: Desk, keys: Callable[[bytes], VerificationKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_CALLERS", 1)
    made = {key.kid: key.sign(claims(desk.now)) for key in (EC, RSA, ED)}
    callers = {kid: desk.caller(token) for kid, token in made.items()}  # one of them is cached
    desk.tokens.take(keys(jwks(ED, Key("new"))))
    assert {kid: each.is_revoked for kid, each in callers.items()} == {
        "ec": True,
        "rsa": True,
        "ed": False,
    }
    assert desk.problem(made["ec"]) == "INVALID"
    assert desk.caller(made["ed"]).name == "shop"


def test_another_key_of_the_same_kid_revokes_too(
    desk: Desk, keys: Callable[[bytes], VerificationKeys]
) -> None:
    caller = desk.caller(EC.sign(claims(desk.now)))
    desk.tokens.take(keys(jwks(Key("other").jwk(kid="ec"))))
    assert caller.is_revoked


def test_a_token_of_a_key_that_comes_is_known_at_once(
    desk: Desk, keys: Callable[[bytes], VerificationKeys]
) -> None:
    new = Key("new")
    token = new.sign(claims(desk.now))
    assert desk.problem(token) == "INVALID"
    desk.tokens.take(keys(jwks(EC, new)))
    assert desk.caller(token).name == "shop"


CLAIMS: list[tuple[dict[str, Any], set[Role], str | None]] = [
    ({"roles": "customer vip"}, {Role.CUSTOMER, Role.VIP}, "ada"),
    ({"roles": ["vip", "cook", 7, None, ["operator"]]}, {Role.VIP}, "ada"),
    ({"roles": {"operator": True}}, set(), "ada"),
    ({"roles": "operators"}, set(), "ada"),
    ({"roles": 7, "customer": None}, set(), None),
    ({"roles": None}, set(), "ada"),
    ({"customer": "*", "roles": ["observer"]}, {Role.OBSERVER}, "*"),
]


@pytest.mark.parametrize(("changed", "roles", "customer"), CLAIMS)
def test_roles_and_customer_are_read_from_the_claims(
    desk: Desk, changed: dict[str, Any], roles: set[Role], customer: str | None
) -> None:
    caller = desk.caller(EC.sign(claims(desk.now, **changed)))
    assert (set(caller.roles), caller.customer) == (roles, customer)


def test_claims_may_be_inside_others_or_have_a_name_with_dots(
    keys: Callable[[bytes], VerificationKeys],
) -> None:
    desk = Desk(
        keys(jwks(EC)), roles_claim="realm.access.roles", customer_claim="https://shop.example/org"
    )
    inside = {"realm": {"access": {"roles": ["worker"]}}, "https://shop.example/org": "bob"}
    caller = desk.caller(EC.sign(claims(desk.now) | inside))
    assert (set(caller.roles), caller.customer) == ({Role.WORKER}, "bob")
    caller = desk.caller(EC.sign(claims(desk.now) | {"realm": ["access"]}))
    assert (set(caller.roles), caller.customer) == (set(), None)


BAD_KEYS: dict[str, dict[str, Any]] = {
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "bad", "alg": "HS256"},
    "a key to encrypt with": RSA.jwk(kid="bad", use="enc"),
    "a key for other deeds": RSA.jwk(kid="bad", key_ops=["encrypt"]),
    "deeds that are no list": RSA.jwk(kid="bad", key_ops=7),
    "a private key": EC.jwk(kid="bad", d="c2VjcmV0"),
    "a key for HMAC": RSA.jwk(kid="bad", alg="HS256"),
    "an algorithm that is a list": RSA.jwk(kid="bad", alg=["RS256"]),
    "a key of another kind than its algorithm": EC.jwk(kid="bad", alg="RS256"),
    "a short RSA key": Key("weak", "RS256").jwk(kid="bad"),
    "a curve that is not allowed": Key("k1", "ES256K").jwk(kid="bad"),
    "an unknown kind": {"kty": "PQ", "kid": "bad"},
    "half a key": RSA.jwk(kid="bad", n=None),
    "no object": [],  # type: ignore[dict-item]
}


@pytest.mark.filterwarnings("ignore:The RSA key is")  # that it signs with
@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_of_a_set_is_not_used_and_the_others_are(
    keys: Callable[[bytes], VerificationKeys], name: str
) -> None:
    bad = BAD_KEYS[name]
    desk = Desk(keys(jwks(EC, bad)))
    assert desk.caller(EC.sign(claims(desk.now))).name == "shop"
    for key in (RSA, Key("weak", "RS256"), EC):
        assert desk.problem(key.sign(claims(desk.now), kid="bad")) == "INVALID"
    assert desk.problem(with_hmac({"alg": "HS256", "kid": "bad"}, claims(desk.now), b"secret"))
    with pytest.raises(ValueError, match="holds no key"):
        keys(jwks(bad))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": 7}',
        b"\xff",
        b"[" * 100_000,
        b"-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n",
        RSA.private_pem(),
        RSA.pem() + EC.pem(),
        Key("weak", "RS256").pem(),
        x25519.X25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        b" " * (1024 * 1024 + 1),
    ],
    ids=range(12),
)
def test_a_file_without_a_key_is_refused(
    keys: Callable[[bytes], VerificationKeys], data: bytes
) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds) ") as bad:
        keys(data)
    assert "c2VjcmV0" not in str(bad.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
HEADER = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "ES256", "EdDSA", "HS256", "none"]) | JSON,
        "kid": st.sampled_from(["rsa", "ec", "ed"]) | JSON,
        "crit": JSON,
        "b64": JSON,
    },
)
TOKENS = st.one_of(
    st.text(alphabet=st.characters(codec="ascii")),
    st.builds(raw, HEADER | JSON, JSON | st.binary(), st.binary()),
    st.builds(raw, st.binary(), st.binary(), st.binary()),
)


@given(token=TOKENS.map("eyJ{}".format) | TOKENS)
def test_whatever_looks_like_a_token_only_unauthenticated_leaves(token: str) -> None:
    assert FUZZED.problem(token) == "INVALID"


@given(changed=st.dictionaries(st.sampled_from([*claims(0), "nbf", "iat", "jti"]), JSON))
def test_whatever_the_issuer_signs_is_a_caller_or_unauthenticated(changed: dict[str, Any]) -> None:
    token = EC.sign(claims(FUZZED.now) | changed)
    try:
        caller = FUZZED.caller(token)
    except Unauthenticated:
        return
    assert isinstance(caller.name, str)
    assert caller.expires is not None


def fuzzed() -> Desk:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "keys"
        path.write_bytes(jwks(RSA, EC, ED))
        return Desk(read_keys(path))


FUZZED = fuzzed()
