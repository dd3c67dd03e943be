"""Builds the parts of the service from the settings, which are read here and nowhere below."""

from orderintake_server.parts.extras import extra, postgres_driver
from orderintake_server.parts.serving import (
    completion_log,
    facts,
    file_readings,
    http_server,
    recorder,
    rpc_settings,
)
from orderintake_server.parts.supervising import shop, worker_processes
from orderintake_server.parts.trust import callers, certificates, tls_files
from orderintake_server.parts.work import (
    admission,
    call_policy,
    commit_policy,
    customer_rate,
    log_recovery,
    queue,
    retention,
    server_name,
    store,
    store_policy,
    work_policy,
    worker_lease,
)
from orderintake_server.parts.workers import work_endpoints, work_room

__all__ = [
    "admission",
    "call_policy",
    "callers",
    "certificates",
    "commit_policy",
    "completion_log",
    "customer_rate",
    "extra",
    "facts",
    "file_readings",
    "http_server",
    "log_recovery",
    "postgres_driver",
    "queue",
    "recorder",
    "retention",
    "rpc_settings",
    "server_name",
    "shop",
    "store",
    "store_policy",
    "tls_files",
    "work_endpoints",
    "work_policy",
    "work_room",
    "worker_lease",
    "worker_processes",
]
