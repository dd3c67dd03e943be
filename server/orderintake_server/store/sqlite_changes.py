"""How a set of changes becomes one SQLite transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.domain import LIFE, Event, Order, State, Tier, Waiting
from orderintake_server.store.base import Committed, Found, Lease
from orderintake_server.store.sqlite_accept import Acceptance
from orderintake_server.store.sqlite_rows import as_json, insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from orderintake_server.domain import NewOrder, Receipt
    from orderintake_server.errors import RequestIdReused
    from orderintake_server.store.base import Changes, NoRoom, Page, Settlement

_T = TypeVar("_T")


@dataclass(slots=True)
class _Counters:
    """The last number given of each kind."""

    accepted: int
    started: int
    completed: int


class Writer:
    """The one that writes: every call is one transaction, flushed before it returns.

    Used by one thread at a time. SQLite's errors leave as they are, with nothing done.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], int]) -> None:
        """Take over an open database: whatever was in process waits again."""
        self._connection = connection
        self._clock = clock
        self._counters = _Counters(*connection.execute("SELECT * FROM counters").fetchone())
        self.found = self._transact(self._recover)

    def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        return self._transact(lambda: self._apply(changes))

    def _transact(self, work: Callable[[], _T]) -> _T:
        """Run `work` as one transaction, the counters in step with it."""
        before = replace(self._counters)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcome = work()
            if self._counters != before:
                self._keep_counters()
            self._connection.execute("COMMIT")
        except BaseException:
            self._counters = before
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return outcome

    def _keep_counters(self) -> None:
        self._connection.execute(
            "UPDATE counters SET accepted = ?, started = ?, completed = ?",
            (self._counters.accepted, self._counters.started, self._counters.completed),
        )

    def _recover(self) -> Found:
        """Put back in the queue what was in process, and take stock."""
        execute = self._connection.execute
        recovered = execute(
            "INSERT INTO ready SELECT o.rank, l.accept_sequence, l.attempt_count"
            " FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence"
        ).rowcount
        execute("DELETE FROM leases")
        (log_id,) = execute("SELECT log_id FROM identity").fetchone()
        (waiting,) = execute("SELECT count(*) FROM ready").fetchone()
        head = self._counters.completed
        return Found(log_id=log_id, waiting=waiting, recovered=recovered, head=head)

    def _apply(self, changes: Changes) -> Committed:
        now = self._clock()
        settled = self._settle(changes.settles, now) if changes.settles else []
        returned = self._give_back(changes.returns) if changes.returns else []
        accepted = self._accept(changes.accepts, changes.room, now) if changes.accepts else []
        claimed = self._claim(changes.claims, now) if changes.claims else []
        return Committed(
            settled=settled,
            returned=returned,
            accepted=accepted,
            claimed=claimed,
            page=self._page(changes.page) if changes.page else [],
            head=self._counters.completed,
        )

    def _accept(
        self, groups: Sequence[Sequence[NewOrder]], room: int, now: int
    ) -> list[tuple[Receipt, ...] | RequestIdReused | NoRoom]:
        acceptance = Acceptance(self._connection, groups, last=self._counters.accepted)
        decisions = [acceptance.decide(group, room=room) for group in groups]
        self._counters.accepted = acceptance.store(now=now)
        return acceptance.receipts(decisions, now=now, head=self._counters.completed)

    def _claim(self, claims: Sequence[Waiting], now: int) -> list[Lease | None]:
        """Move orders from the queue into a worker's hands, in the order given."""
        contents = self._take_from_queue(claims)
        leases: list[Lease | None] = []
        for claim in claims:
            known = contents.pop(claim.accept_sequence, None)
            if known is None:
                leases.append(None)
                continue
            self._counters.started += 1
            order = Order(
                accept_sequence=claim.accept_sequence,
                tier=Tier(known[0]),
                accept_time=known[1],
                content=known[2],
                state=LIFE[State.QUEUED, Event.CLAIM],
                attempt_count=claim.attempt_count + 1,
                start_sequence=self._counters.started,
                start_time=now,
            )
            leases.append(Lease(order=order, rank=claim.rank))
        orders = [lease.order for lease in leases if lease]
        insert(
            self._connection,
            "leases",
            [(o.accept_sequence, o.attempt_count, o.start_sequence, now) for o in orders],
        )
        return leases

    def _take_from_queue(self, claims: Sequence[Waiting]) -> dict[int, tuple[int, int, bytes]]:
        """Delete the claimed rows that are there, and read what is known of their orders."""
        taken = self._connection.execute(
            "DELETE FROM ready WHERE rank IN (SELECT value FROM json_each(?))"
            " AND +accept_sequence IN (SELECT value FROM json_each(?)) RETURNING accept_sequence",
            (
                as_json(claim.rank for claim in claims),
                as_json(claim.accept_sequence for claim in claims),
            ),
        ).fetchall()
        rows = self._connection.execute(
            "SELECT o.accept_sequence, o.tier, o.accept_time, o.content"
            " FROM json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value",
            (as_json(number for (number,) in taken),),
        )
        return {number: (tier, time, content) for number, tier, time, content in rows}

    def _settle(self, settles: Sequence[Settlement], now: int) -> list[int | None]:
        """Append to the log what came of attempts whose lease is still good."""
        good = self._end_leases(settle.lease for settle in settles)
        rows, sequences = [], list[int | None]()
        for settle in settles:
            order, ending = settle.lease.order, settle.ending
            if order.start_sequence not in good:
                sequences.append(None)
                continue
            good.remove(order.start_sequence)
            self._counters.completed += 1
            sequences.append(self._counters.completed)
            rows.append(
                (
                    self._counters.completed,
                    order.accept_sequence,
                    LIFE[State.PROCESSING, ending.event],
                    order.attempt_count,
                    order.start_sequence,
                    order.start_time,
                    now,
                    ending.failure and ending.failure.code,
                    ending.failure and ending.failure.message,
                    ending.result,
                )
            )
        insert(self._connection, "log", rows)
        return sequences

    def _give_back(self, leases: Sequence[Lease]) -> list[Waiting | None]:
        """Put orders back in their places in the queue, the attempt not counted."""
        good = self._end_leases(leases)
        places: list[Waiting | None] = []
        for lease in leases:
            order, is_good = lease.order, lease.order.start_sequence in good
            good.discard(order.start_sequence)
            place = Waiting(lease.rank, order.accept_sequence, order.attempt_count - 1)
            places.append(place if is_good else None)
        insert(self._connection, "ready", [place for place in places if place])
        return places

    def _end_leases(self, leases: Iterable[Lease]) -> set[int]:
        """Delete the leases that are still good, and tell which starts they were of.

        A start sequence is one attempt's alone, so an older attempt's lease finds nothing.
        """
        orders = [lease.order for lease in leases]
        ended = self._connection.execute(
            "DELETE FROM leases WHERE accept_sequence IN (SELECT value FROM json_each(?))"
            " AND +start_sequence IN (SELECT value FROM json_each(?)) RETURNING start_sequence",
            (
                as_json(order.accept_sequence for order in orders),
                as_json(order.start_sequence for order in orders),
            ),
        ).fetchall()
        return {number for (number,) in ended}

    def _page(self, page: Page) -> list[Waiting]:
        """Read the most urgent waiting orders behind a place in the queue."""
        rows = self._connection.execute(
            "SELECT rank, accept_sequence, attempt_count FROM ready"
            " WHERE (rank, accept_sequence) > (?, ?) ORDER BY rank, accept_sequence LIMIT ?",
            (page.after.rank, page.after.accept_sequence, page.limit),
        ).fetchall()
        return [Waiting(*row) for row in rows]
