"""The options of the client's channels: retries, keepalive, reconnecting, limits."""

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
    "initialBackoff": "0.2s",  # 3 seconds in all, enough for a server to restart
    "backoffMultiplier": 2,
    "maxBackoff": "2s",
    # The one code after which a call may be repeated. A repeated order is placed only once, for
    # its request_id is the same; every other call has the same effect when it is repeated.
    "retryableStatusCodes": ["UNAVAILABLE"],
}

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            # Not for streams: the subscription resumes them from their cursor.
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

# Calls go to all servers in turn, except those whose health says that they are stopping or
# cannot reach their store.
_BALANCED = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": _SERVICES[0].full_name},
}

_MANY = ("dns:", "ipv4:", "ipv6:")
"""How a target begins that can name many servers."""

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.enable_retries", 1),
    # A request larger than this buffer is not retried; grpc's 256 KiB would exclude large batches.
    ("grpc.per_rpc_retry_buffer_size", 4 * 1024**2),
    # Pings notice a server that vanished without closing the connection, within two of a stream's
    # default heartbeats; until then new calls are sent into the dead connection. Not by
    # keepalive_timeout_ms, which grpc ignores below a minute. The server permits a ping a second.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),  # or they stop on a stream that only receives
    # By default the backoff between attempts to connect grows from 1 s to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Names are resolved again when a connection is lost, but no more often than this. With grpc's
    # default of 30 s a client would miss a new server, or keep to one that is gone, for that long.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)

Options = tuple[tuple[str, str | int], ...]


def options(target: str) -> Options:
    """Return the options of a channel to this target, for either of grpc's stacks.

    Calls to a target that begins with `dns:`, `ipv4:` or `ipv6:` go round robin to the servers
    whose health says that they accept orders. Calls to any other target go to the first server
    that can be reached.
    """
    balance = _BALANCED if target.startswith(_MANY) else {}
    return (("grpc.service_config", json.dumps(_SERVICE_CONFIG | balance)), *_OPTIONS)
