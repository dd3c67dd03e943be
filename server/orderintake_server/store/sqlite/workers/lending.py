"""Attempts that workers start: their leases, in the tables and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.sqlite.writing.writes import LEND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.holders import LentLease
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork


def lend(unit: UnitOfWork, leases: Sequence[LentLease]) -> None:
    """Write the leases of attempts that begin at workers."""
    orders = [lease.order for lease in leases]
    members = unit.roster.lend(leases, unit.now)
    alone = unit.policy.alone
    deadline = unit.now + unit.attempt_limit if unit.attempt_limit else 0
    unit.write(
        LEND,
        [
            (
                *(order.accept_sequence, order.attempt_count, order.start_sequence),
                *(order.start_time, lease.crash_count),
                *(member.number, lease.holder.call, deadline, int(lease.crash_count >= alone)),
            )
            for order, lease, member in zip(orders, leases, members, strict=True)
        ],
    )
    unit.expect_due([deadline] if deadline else [])
