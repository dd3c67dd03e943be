"""How the client's channels are set up."""

import json
from typing import Any

import grpc
import pytest

from orderintake import AsyncClient, Client
from orderintake.channel import options


def service_config(target: str) -> dict[str, Any]:
    """Read what a channel to this target goes by."""
    config: dict[str, Any] = json.loads(str(dict(options(target))["grpc.service_config"]))
    return config


@pytest.mark.parametrize("target", ["127.0.0.1:50051", "dns:///orders:50051"])
def test_every_unary_method_is_retried_when_the_server_is_unavailable_and_no_stream_is(
    target: str,
) -> None:
    (config,) = service_config(target)["methodConfig"]
    assert {name["method"] for name in config["name"]} == {
        "PlaceOrder",
        "BatchPlaceOrders",
        "GetOrder",
        "ListOrders",
        "CancelOrder",
        "ListCompletions",
        "GetQueueStats",
        "PauseTier",
        "ResumeTier",
        "RedriveOrder",
        "ListOperatorActions",
        "ListFailures",
        "RedriveOrders",
        "CancelOrders",
        "ListServers",
        "ListSubscribers",
        "ListWorkers",
    }
    assert {name["service"] for name in config["name"]} == {
        "orderintake.v1.OrderIntakeService",
        "orderintake.v1.OrderAdminService",
    }
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert config["retryPolicy"]["maxAttempts"] == 5


def test_keepalive_goes_by_the_options_that_grpc_heeds() -> None:
    assert "grpc.http2.ping_timeout_ms" in dict(options("127.0.0.1:50051"))
    assert "grpc.keepalive_timeout_ms" not in dict(options("127.0.0.1:50051"))


@pytest.mark.parametrize("target", ["dns:///orders:50051", "ipv4:127.0.0.1:1,127.0.0.1:2"])
def test_a_target_of_many_servers_is_shared_by_those_that_are_healthy(target: str) -> None:
    config = service_config(target)
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": "orderintake.v1.OrderIntakeService"}


@pytest.mark.parametrize("target", ["127.0.0.1:50051", "orders:50051", "unix:///run/orders"])
def test_a_target_of_one_server_is_just_that(target: str) -> None:
    assert {"loadBalancingConfig", "healthCheckConfig"}.isdisjoint(service_config(target))


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("localhost", "try localhost:50051"),
        ("dns:///orders", "try dns:///orders:50051"),
        ("http://127.0.0.1:50051", "without http://, such as 127.0.0.1:50051"),
        ("https://orders/", "without https://, such as orders"),
        ("grpc://", r"without grpc://, such as 127\.0\.0\.1:50051"),
        ("", "no HOST:PORT"),
        (":50051", "no HOST:PORT"),
        ("localhost:http", "no HOST:PORT"),
        ("localhost:99999", "no HOST:PORT"),
        ("::1:50051", r"no HOST:PORT, such as .* \[::1\]:50051"),
        ("two words:50051", "no HOST:PORT"),
    ],
)
def test_a_target_that_cannot_be_meant_is_told(
    client: type[Client | AsyncClient], target: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        client(target)


def test_a_target_must_be_text() -> None:
    with pytest.raises(TypeError, match="HOST:PORT, not int"):
        Client(50051)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "[::1]:50051",
        "orders.example:1",
        "dns:orders:50051",
        "dns:///orders:50051",
        "dns://8.8.8.8/orders:50051",
        "ipv4:127.0.0.1:1,127.0.0.1:2",
        "ipv6:[::1]:1",
        "unix:/run/orders",
        "unix:///run/orders",
        "xds:///orders",
    ],
)
def test_every_target_of_grpc_is_left_as_it_is(target: str) -> None:
    Client(target)


def test_with_credentials_grpcs_own_port_may_be_meant() -> None:
    Client("orders.example", credentials=grpc.local_channel_credentials())
