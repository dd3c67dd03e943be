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

_SERVICE_CONFIG = {
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

# Many servers share the calls; one that stops or cannot reach its store says so by its health.
_BALANCED = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": _SERVICES[0].full_name},
}

_MANY = ("dns:", "ipv4:", "ipv6:")
"""How a target begins that may stand for many servers."""

_OPTIONS: tuple[tuple[str, str | int], ...] = (
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
    # Names are looked up anew when a connection is lost, but not more often: grpc's 30 s would keep
    # a client off a server that has just come, or on one that is gone.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)

Options = tuple[tuple[str, str | int], ...]


def options(target: str) -> Options:
    """Return the options of a channel to this target, whichever grpc stack it belongs to.

    To a target that begins with `dns:`, `ipv4:` or `ipv6:` calls go round robin, to those servers
    that say by their health that they take orders; to any other, to the first that can be reached.
    """
    balance = _BALANCED if target.startswith(_MANY) else {}
    return (("grpc.service_config", json.dumps(_SERVICE_CONFIG | balance)), *_OPTIONS)
