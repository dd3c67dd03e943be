"""Attempts that workers start: their leases, in the tables and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.rows import ATTEMPT_COLUMNS
from orderintake_server.store.sqlite.statements import insert

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
    insert(
        unit.connection,
        _LENT_LEASES,
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


OWN_LEASES = f"leases (accept_sequence, {', '.join(ATTEMPT_COLUMNS)}, crash_count)"
"""The columns of this process's own leases."""
_LENT_LEASES = f"{OWN_LEASES[:-1]}, worker, call, deadline, is_alone)"
