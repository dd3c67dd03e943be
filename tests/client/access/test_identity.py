"""Keys and tokens: which are refused before anything is sent, and that none is ever told."""

import traceback
from typing import Any

import grpc
import pytest

from client.blocking import Connect
from orderintake import AsyncClient, Client

HERE = "127.0.0.1:50051"
SECRET = "oik_a-secret-that-nobody-may-see"  # noqa: S105 - it is none
CREDENTIALS = grpc.local_channel_credentials()

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"api_key": "a", "token": "b"}, "give either api_key or token, not both"),
    ({"api_key": "a", "token": lambda: "b"}, "give either api_key or token, not both"),
    ({"cert": b"x"}, "cert and key belong together"),
    ({"key": b"x", "ca": b"x"}, "cert and key belong together"),
    ({"credentials": CREDENTIALS, "ca": b"x"}, "credentials and ca contradict each other"),
    (
        {"credentials": CREDENTIALS, "cert": b"x", "key": b"x"},
        "credentials and cert contradict each other",
    ),
    ({"key": f"-----BEGIN {SECRET}", "cert": b"x"}, "key is PEM as text: give it as bytes"),
    ({"api_key": ""}, "api_key must be one word"),
    ({"api_key": f"Bearer {SECRET}"}, "api_key must be one word"),
    ({"token": f"{SECRET}\nx: y"}, "token must be one word"),
    ({"token": f"{SECRET}ä"}, "token must be one word"),
]


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(("options", "told"), CONTRADICTIONS)
def test_what_contradicts_itself_is_told_by_name(
    client: type[Client | AsyncClient], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        client(HERE, **options)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("options", [{"api_key": 5}, {"token": b"x"}, {"ca": 5}])
def test_what_has_the_wrong_type_is_told_by_name(
    client: type[Client | AsyncClient], options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(TypeError, match=rf"^{name} must be "):
        client(HERE, **options)


PLAIN_HERE = [
    "127.0.0.1:50051",
    "127.8.8.8:1",
    "localhost:50051",
    "LocalHost:50051",
    "[::1]:50051",
    "dns:localhost:50051",
    "dns:///localhost:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:2",
    "ipv6:[::1]:1",
    "unix:/run/orders",
    "unix:///run/orders",
    "unix-abstract:orders",
]
PLAIN_ELSEWHERE = [
    "orders:50051",
    "10.0.0.1:50051",
    "0.0.0.0:50051",
    "[::]:50051",
    "localhost.example.com:50051",
    "127.0.0.1.example.com:50051",
    "127.1:50051",
    "dns:///orders:50051",
    "dns://8.8.8.8/localhost:50051",
    "ipv4:127.0.0.1:1,10.0.0.1:2",
    "vsock:2:50051",
    "xds:///orders",
]
SHOWN: list[dict[str, Any]] = [{"api_key": SECRET}, {"token": SECRET}, {"token": lambda: SECRET}]


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("target", PLAIN_ELSEWHERE)
@pytest.mark.parametrize("shown", SHOWN)
def test_no_secret_goes_to_another_machine_in_plain_text(
    client: type[Client | AsyncClient], target: str, shown: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"not sent in plain text to .* give ca=") as caught:
        client(target, **shown)
    assert SECRET not in str(caught.value)
    assert client(target, ca="ca.crt", **shown).is_encrypted
    assert client(target, credentials=CREDENTIALS, **shown).is_encrypted
    assert not client(target).is_encrypted


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("target", PLAIN_HERE)
def test_on_this_machine_it_may(client: type[Client | AsyncClient], target: str) -> None:
    for shown in SHOWN:
        assert not client(target, **shown).is_encrypted


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_no_text_made_of_a_client_shows_a_secret(client: type[Client | AsyncClient]) -> None:
    one = client(HERE, api_key=SECRET, ca=b"ca", cert=b"cert", key=SECRET.encode())
    parts = vars(one).values()
    assert SECRET not in "".join(map(repr, [one, *parts])) + "".join(map(str, parts))


@pytest.mark.parametrize("odd", [5, "", "two words", f"{SECRET} \n{SECRET}", b"bytes"])
def test_what_a_function_gives_is_checked_and_not_told(connect: Connect, odd: object) -> None:
    with (
        connect(HERE, token=lambda: odd) as client,
        pytest.raises((TypeError, ValueError), match=r"^token must be") as caught,
    ):
        client.get("order-1")
    assert SECRET not in str(caught.value)
