"""How a PostgreSQL store is doing, and which servers use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.domain import Durability
from orderintake_server.store.blame.postgres import talking
from orderintake_server.views import ServerSeen, StoreCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orderintake_server.store.actions.postgres import Fetch

_CONDITION = """
SELECT current_setting('server_version'), {}.durability(),
  (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'orderintake' AND c.relkind = 'r')
"""
_SERVERS = """
SELECT session_id, replica, workers,
  (SELECT count(*) FROM orderintake.leases l WHERE l.session_id = s.session_id),
  (extract(epoch FROM since) * 1000000)::bigint, (extract(epoch FROM beat_at) * 1000000)::bigint,
  expires_at >= clock_timestamp()
FROM orderintake.sessions s WHERE expires_at > '-infinity' ORDER BY session_id
"""


class PostgresCondition:
    """Keeps `Condition`."""

    def __init__(self, fetch: Fetch, schema: str, session_id: Callable[[], int]) -> None:
        """Read with `fetch`; functions are in `schema`; `session_id` tells this server's now."""
        self._fetch = fetch
        self._schema = schema
        self._session_id = session_id

    async def look(self) -> StoreCondition:
        """Keep `Condition.look`."""
        ((version, durability, size),) = await self._fetch(_CONDITION.format(self._schema))
        servers = await self._fetch(_SERVERS)
        with talking():
            return StoreCondition(
                engine=f"PostgreSQL {version.split()[0]}",
                durability=Durability[durability],
                size_bytes=size,
                servers=tuple(map(self._seen, servers)),
            )

    def _seen(self, row: Sequence[Any]) -> ServerSeen:
        session_id, name, workers, busy, since, heard, is_alive = row
        return ServerSeen(
            name=name,
            workers=workers,
            busy=busy,
            since=since,
            heard=heard,
            is_alive=is_alive,
            is_own=session_id == self._session_id(),
        )
