"""How the client's channels are set up."""

import json

from orderintake.channel import OPTIONS, SERVICE_CONFIG


def test_every_unary_method_is_retried_when_the_server_is_unavailable_and_no_stream_is() -> None:
    (config,) = json.loads(SERVICE_CONFIG)["methodConfig"]
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
    assert "grpc.http2.ping_timeout_ms" in dict(OPTIONS)
    assert "grpc.keepalive_timeout_ms" not in dict(OPTIONS)
