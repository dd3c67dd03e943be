"""How the client's channels behave: retries, keepalive, reconnecting, limits."""

import json

from orderintake.v1 import order_admin_service_pb2, order_intake_service_pb2

TIMEOUT_SECONDS = 30.0
"""How long a call may last, retries included, unless the client is told otherwise."""

_SERVICES = (
    order_intake_service_pb2.DESCRIPTOR.services_by_name["OrderIntakeService"],
    order_admin_service_pb2.DESCRIPTOR.services_by_name["OrderAdminService"],
)

_RETRY_POLICY = {
    "maxAttempts": 5,  # the most that grpc allows
    "initialBackoff": "0.2s",  # 3 seconds in all: a server that restarts is met again
    "backoffMultiplier": 2,
    "maxBackoff": "2s",
    # The one code that says the call may be repeated. An order carries a request_id, so a repeat
    # places it once even if the first attempt had come through; all else may be said twice.
    "retryableStatusCodes": ["UNAVAILABLE"],
}

SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                # A stream is resumed from its cursor instead, by the subscription.
                "name": [
                    {"service": service.full_name, "method": method.name}
                    for service in _SERVICES
                    for method in service.methods
                    if not method.server_streaming
                ],
                "retryPolicy": _RETRY_POLICY,
            }
        ]
    }
)

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    # A request larger than this buffer is not retried; grpc's 256 KiB would exclude large batches.
    ("grpc.per_rpc_retry_buffer_size", 4 * 1024**2),
    # A peer that is gone without a word is noticed by pings while a call waits, within two of a
    # stream's default heartbeats: until then new calls go into the same dead connection. Not
    # keepalive_timeout_ms: grpc ignores it below a minute. The server permits a ping a second.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),  # else they cease on a stream that only receives
    # Left alone, the pauses between attempts to connect grow from 1 s to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
"""The options of every channel, whichever grpc stack it belongs to."""
