"""The authorization header: one, of one form; whatever else comes is refused in order."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server import logger
from orderintake_server.access import AccessTable, KnownCallers, Role
from orderintake_server.access.bearer import MOST_BYTES
from orderintake_server.access.entries import parse
from orderintake_server.errors import Problem, Unauthenticated
from orderintake_server.metrics import Calls
from orderintake_server.telemetry.folding import Folding
from orderintake_server.telemetry.log import renderer
from support.callers import entry, key_of, presented
from support.clocks import Seconds
from support.logs import capture_logs

KEY = key_of("shop")
URI = "spiffe://shop.example/kitchen"
FILE = f"""{entry("shop", "customer", "vip", customer="*")}
[kitchen]
certificate = "{URI}"
roles = ["worker"]
"""


def known(text: str = FILE) -> KnownCallers:
    return KnownCallers(AccessTable(parse(text)))


def problem(
    callers: KnownCallers,
    *headers: str,
    certificate: str | None = None,
    calls: Calls | None = None,
) -> str:
    """Tell what is wrong with credentials, after it was counted in `calls`."""
    with pytest.raises(Unauthenticated) as refused:
        callers.identify(presented(*headers, certificate=certificate))
    (calls or Calls()).not_known(refused.value)
    return refused.value.problem.name


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER"])
def test_a_key_tells_its_caller_whatever_the_case_of_its_scheme(scheme: str) -> None:
    caller = known().identify(presented(f"{scheme} {KEY}"))
    assert (caller.name, caller.credential.value, caller.customer) == ("shop", "key", "*")
    assert caller.roles == {Role.CUSTOMER, Role.VIP}
    assert caller.expires is None


BROKEN = {
    "an unknown key": [f"Bearer {key_of('stranger')}"],
    "a key with a letter of another case": [f"Bearer {KEY[:-1]}{KEY[-1].upper()}"],
    "a key without its last letter": [f"Bearer {KEY[:-1]}"],
    "the hash of a key": ["Bearer " + entry("shop", "customer").split('"')[1]],
    "two spaces": [f"Bearer  {KEY}"],
    "a space after": [f"Bearer {KEY} "],
    "a tab": [f"Bearer\t{KEY}"],
    "no scheme": [KEY],
    "another scheme": [f"Basic {KEY}"],
    "no token": ["Bearer "],
    "nothing": [""],
    "two headers": [f"Bearer {KEY}", f"Bearer {KEY}"],
    "a list of two": [f"Bearer {KEY}, Bearer {KEY}"],
    "a token where no issuer is known": ["Bearer eyJhbGciOiJub25lIn0.e30."],
    "letters that are not ASCII": [f"Bearer {KEY[:-1]}ä"],
    "more than 7,000 bytes": ["Bearer oik_" + "x" * MOST_BYTES],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_header_is_invalid_and_the_log_holds_nothing_of_it(name: str) -> None:
    callers, calls = known(), Calls()
    with capture_logs() as log:
        assert problem(callers, *BROKEN[name], calls=calls) == "INVALID"
    (line,) = log
    assert line["problem"] == "INVALID"
    assert line["peer"] == "ipv4:192.0.2.1:7"
    for secret in (KEY[:12], "eyJ"):
        assert secret not in str(line)
    assert calls.authentication_failures == {("MISSING",): 0, ("INVALID",): 1, ("EXPIRED",): 0}


def test_without_a_header_credentials_are_missing() -> None:
    callers, calls = known(), Calls()
    assert problem(callers, calls=calls) == "MISSING"
    assert calls.authentication_failures[("MISSING",)] == 1


def test_the_uri_of_a_certificate_tells_its_caller_exactly() -> None:
    callers = known()
    caller = callers.identify(presented(certificate=URI))
    assert (caller.name, caller.credential.value) == ("kitchen", "certificate")
    for other in (URI + "/", URI.upper(), "", "kitchen"):
        assert problem(callers, certificate=other) == "INVALID"


def test_a_header_wins_over_the_certificate_also_when_it_is_broken() -> None:
    callers = known()
    assert callers.identify(presented(f"Bearer {KEY}", certificate=URI)).name == "shop"
    assert problem(callers, f"Bearer {KEY}x", certificate=URI) == "INVALID"


def test_no_certificate_is_looked_at_where_none_is_known() -> None:
    callers = known(entry("shop", "observer"))

    def certificate() -> str:
        raise AssertionError

    with pytest.raises(Unauthenticated) as refused:
        callers.identify(replace(presented(), certificate=certificate))
    assert refused.value.problem is Problem.MISSING


def test_a_hash_that_reads_like_a_certificate_is_none() -> None:
    digest = entry("shop", "customer").split('"')[1]
    assert problem(known(), certificate=digest) == "INVALID"


def test_a_flood_of_strangers_does_not_fill_the_log() -> None:
    clock, callers, lines = Seconds(), known(), list[str]()
    folds = Folding(clock)
    logger.configure(processor=renderer("json"), before=folds, level="info", write=lines.append)

    def told(header: tuple[str, ...], count: int) -> list[int]:
        lines.clear()
        for _ in range(count):
            problem(callers, *header)
        return [json.loads(line).get("suppressed", 0) for line in lines]

    unknown = (f"Bearer {key_of('stranger')}",)
    assert told(unknown, 1_000) == [0] * 5
    assert told((), 2) == [0] * 2
    clock.turn(10)
    assert told(unknown, 2) == [995, 0]
    assert told((), 1) == [0]


HEADERS: st.SearchStrategy[Any] = st.one_of(
    st.text(),
    st.text().map("Bearer {}".format),
    st.binary().map(lambda each: f"Bearer oik_{each.decode('latin1')}"),
    st.lists(st.text(alphabet="abc019-_=.")).map(lambda each: "Bearer eyJ" + ".".join(each)),
)


@given(headers=st.lists(HEADERS, max_size=3), certificate=st.none() | st.text())
def test_whatever_a_caller_sends_only_unauthenticated_leaves(
    headers: list[str], certificate: str | None
) -> None:
    assert problem(known(), *headers, certificate=certificate) in {"MISSING", "INVALID"}
