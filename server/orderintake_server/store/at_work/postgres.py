"""The workers of a PostgreSQL store: there are none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orderintake_server.holders import Holder, LentLease, WorkerRow


class PostgresAtWork:
    """Keeps `AtWork`."""

    async def read_worker(self, worker_id: str) -> WorkerRow | None:  # noqa: ARG002
        """Keep `AtWork.read_worker`."""
        return None

    async def list_workers(self) -> list[WorkerRow]:
        """Keep `AtWork.list_workers`."""
        return []

    async def leases_of(self, holder: Holder) -> list[LentLease]:  # noqa: ARG002
        """Keep `AtWork.leases_of`."""
        return []

    def follow(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Keep `AtWork.follow`."""
