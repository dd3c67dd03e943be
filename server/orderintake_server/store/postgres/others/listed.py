"""The replicas that use the store, as the database knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connector


class Replica(NamedTuple):
    """A replica as the database knows it."""

    name: str
    workers: int
    in_process: int
    up_seconds: float
    lease_seconds: float
    """Until it expires; below 0: it has been silent for longer than its lease."""
    silent_seconds: float
    """Since its last heartbeat."""


_REPLICAS = """
SELECT replica, workers,
  (SELECT count(*) FROM orderintake.leases l WHERE l.session_id = s.session_id),
  extract(epoch FROM clock_timestamp() - since)::double precision,
  extract(epoch FROM expires_at - clock_timestamp())::double precision,
  extract(epoch FROM clock_timestamp() - beat_at)::double precision
FROM orderintake.sessions s WHERE expires_at > '-infinity' ORDER BY session_id
"""


async def replicas(connector: Connector) -> list[Replica]:
    """List the replicas that use the store, the oldest first; those that died are there too.

    A dead replica is there until another takes over what it had in process.
    """
    connection = await connector.connect()
    try:
        return [Replica(*row) for row in await connector.fetch(connection, _REPLICAS)]
    finally:
        connection.terminate()
