"""The options of the client's channels: retries, keepalive, reconnecting, limits."""

import json
import re

from orderintake.access.local import is_local
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
    # The codes after which a call may be repeated. A repeated order is placed only once, for its
    # request_id is the same; every other call has the same effect when it is repeated. CANCELLED
    # comes from a server or proxy that let go of the call; what was cancelled here is not repeated.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
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

_ROUND_ROBIN: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}

_MANY = ("dns:", "ipv4:", "ipv6:")
"""How a target begins that can name many servers."""

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.enable_retries", 1),
    # Otherwise all channels of a process to one target share a connection, and with it the number
    # of calls and streams that it may have at once.
    ("grpc.use_local_subchannel_pool", 1),
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

_URL = re.compile(r"(?:https?|grpcs?|tcp)://", re.IGNORECASE)
_DNS = re.compile(r"dns:(?://[^/]*/)?")
_HOST_PORT = re.compile(r"(?:\[[^\s\[\]]+\]|[^\s:/\[\]]+)(?::(?P<port>\d{1,5}))?")
_OTHERS = ("unix:", "unix-abstract:", "ipv4:", "ipv6:", "vsock:", "xds:")
"""How grpc's other targets begin, which are left to grpc."""
_LAST_PORT = 65_535


def checked_target(target: str, *, needs_port: bool) -> str:
    """Return the target; without a port grpc would take 443, which no plain connection means.

    Raises:
        TypeError: it is no text.
        ValueError: it is no target of grpc, or names no port though it needs one.
    """
    if not isinstance(target, str):
        raise TypeError(f"the server must be text like HOST:PORT, not {type(target).__name__}")
    if target.startswith(_OTHERS):
        return target
    if url := _URL.match(target):
        address = target[url.end() :].strip("/") or "127.0.0.1:50051"
        raise ValueError(f"give HOST:PORT without {url[0]}, such as {address}")
    match = _HOST_PORT.fullmatch(_DNS.sub("", target, count=1))
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        raise ValueError(f"{target!r} is no HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    if needs_port and match["port"] is None:
        raise ValueError(f"{target!r} names no port: try {target}:50051")
    return target


Options = tuple[tuple[str, str | int], ...]


def options(target: str, *, service: str = _SERVICES[0].full_name) -> Options:
    """Return the options of a channel to this target, for either of grpc's stacks.

    Calls to a target that begins with `dns:`, `ipv4:` or `ipv6:` go round robin to the servers
    whose health says that they serve `service`: not those that are stopping or cannot reach their
    store. Calls to any other target go to the first server that can be reached.
    """
    healthy = {"healthCheckConfig": {"serviceName": service}}
    balance = _ROUND_ROBIN | healthy if target.startswith(_MANY) else {}
    return (
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG | balance)),
        # This machine is reached through no proxy: a key that goes there in plain text stays here.
        ("grpc.enable_http_proxy", 0 if is_local(target) else 1),
        *_OPTIONS,
    )


GIVEN_BACK_MS = 10_000
"""After so long without a stream grpc closes a further connection; the next stream reopens it."""


def further_options(target: str) -> Options:
    """Return the options of one more channel of a client, for streams only."""
    return (("grpc.client_idle_timeout_ms", GIVEN_BACK_MS), *options(target))
