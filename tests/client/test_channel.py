"""How the client's channels are set up."""

import json
from typing import Any

import pytest

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
    }
    assert {name["service"] for name in config["name"]} == {
        "orderintake.v1.OrderIntakeService",
        "orderintake.v1.OrderAdminService",
    }
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
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
