"""The promise of store/base.py again, in plain lists and dicts: what stores are held against."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from orderintake_server.domain import (
    ENDED,
    Action,
    Cancelled,
    CancelOutcome,
    Completion,
    Event,
    Failure,
    Lease,
    NewOrder,
    Operator,
    QueueEntry,
    Receipt,
    State,
    Tier,
)
from orderintake_server.errors import RequestIdReused
from orderintake_server.holders import Holder, TakenBack, lease_of
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import (
    Cancel,
    CancelWaiting,
    Capacity,
    Changes,
    Committed,
    OverCapacity,
    Pause,
    Prune,
    Settlement,
)
from orderintake_server.store.work import (
    OVERDUE_AGAIN,
    AttemptEnd,
    Work,
    WorkDone,
    WorkerWord,
    word_of,
)
from orderintake_server.views import OperatorAction
from support.model_orders import (
    OUTCOMES,
    WAITS,
    Held,
    accepted,
    quarantined,
    remembered,
    unstarted,
)
from support.model_work import Workers, key_of


class StoreModel(Workers):
    """Knows what a store must answer, and when: a commit is told its time.

    Where the promise leaves it open which of several orders ends first, it does as SQLite's store.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._named: dict[tuple[str, str], int] = {}
        self._accepted = 0
        self._started = 0
        self._accept_time = 0
        self._queued: list[QueueEntry] = []
        self._ended: Counter[Tier] = Counter()
        self.actions: list[OperatorAction] = []

    def commit(self, changes: Changes, now: int) -> Committed:
        """Make the changes; tell what the store must say."""
        self._begin(now)
        self._sweep()
        settled = [self._settle(settlement) for settlement in changes.settles]
        released = [self._give_back(lease) for lease in changes.releases]
        work = self._work(changes.work) if changes.work else None
        cancelled = self._cancel(changes.cancels)
        waiting = [self._cancel_waiting(asked) for asked in changes.cancels_waiting]
        for pause in changes.pauses:
            self._pause(pause)
        before, started = self._accepted, self._started
        self._limit = changes.attempt_limit
        wanted = changes.claim_next
        slots, had, closed = self._slots(wanted) if wanted else ([], [], set())
        again = [lease for holder in had for lease in self.leases_of(holder)]
        accepted = self._accept(changes.accepts, changes.capacity)
        self._expire_before(changes)
        holders = changes.holders or [None] * len(changes.claims)
        claimed = [self._claim(*each) for each in zip(changes.claims, holders, strict=True)]
        next_ones = self._deal(wanted, slots) if wanted else []
        pruned = self._prune(changes.prune) if changes.prune else 0
        return Committed(
            settled=settled,
            released=released,
            work=work,
            told_again=again,
            closed=closed,
            cancelled=cancelled,
            cancelled_waiting=waiting,
            accepted=accepted,
            claimed=claimed,
            claimed_next=next_ones,
            queued=self._left_in_queue(next_ones),
            page=self._page(changes),
            accept_counts=Counter(
                self.held[n].new.tier for n in range(before + 1, self._accepted + 1)
            ),
            start_count=self._started - started,
            pruned=pruned,
            **self._state(),
        )

    def _expire_before(self, changes: Changes) -> None:
        if changes.claims or changes.claim_next:
            self._expire()

    def _state(self) -> dict[str, Any]:
        """Tell how the store stands, and what this commit found."""
        return {
            "counts": self.counts(),
            "completion_counts": self._ended,
            "paused": self.paused,
            "next_due": self.next_due(),
            "head": self.head,
            "earliest": self.earliest,
            "overdue": self.overdue,
            "news": sorted(self.news),
            "capacity": self.capacity,
        }

    def leap(self, microseconds: int) -> None:
        """Move the ends of delays and of workers' attempts with the clock: they are lengths."""
        for held in self.standing():
            if held.order.state is State.SCHEDULED and held.order.attempt_count:
                held.due += microseconds
            held.deadline += microseconds if held.deadline else 0

    def restart(self, policy: Policy, now: int) -> tuple[int, int]:
        """Put what is in process where it belongs; tell how many wait, and were quarantined."""
        self.policy = policy
        self._begin(now)
        running = [held for held in self.standing() if held.order.state is State.PROCESSING]
        own = [held for held in running if not held.holder]
        for held in own:
            self._crash(held)
        local = [name for name, worker in self.workers.items() if worker.is_local]
        taken = [each for name in local for each in self._bury(name)]
        self.news = set()
        for held in running:
            if held.deadline:
                held.deadline = max(held.deadline, now + OVERDUE_AGAIN)
        stands = Counter([held.order.state for held in own] + [state for _, state in taken])
        return stands[State.QUEUED], stands[State.FAILED]

    def _crash(self, held: Held) -> None:
        """Count a crash of an order in process."""
        held.crashes += 1
        if held.is_to_stop:
            self._end(held, Event.CANCEL)
        elif held.crashes >= self.policy.max_crashes:
            self._end(held, Event.QUARANTINE, quarantined(held.crashes))
        else:
            self._wait_again(held)

    def _work(self, work: Work) -> WorkDone:
        first: dict[int, int] = {}
        for place, report in enumerate(work.reports):
            first.setdefault(report.key.start_sequence, place)
        counted = sorted(first.values(), key=lambda place: work.reports[place].ending is None)
        states = {place: self._report(work.reports[place]) for place in counted}
        reports = [
            states.get(place) or self._said_before(report)
            for place, report in enumerate(work.reports)
        ]
        repeated = [place for place in range(len(reports)) if not states.get(place)]
        return WorkDone(
            reports=reports,
            repeated=repeated,
            words=[self._note_word(word) for word in work.words],
            ends=[self._end_worker(worker_id) for worker_id in work.ends],
            deaths=[self._bury(worker_id) for worker_id in work.deaths],
        )

    def _report(self, report: AttemptEnd) -> State | None:
        """End an attempt; None: its lease is not good."""
        held = self.held.get(report.key.accept_sequence)
        if held is None or held.holder is None or held.order.state is not State.PROCESSING:
            return None
        if held.order.start_sequence != report.key.start_sequence:
            return None
        lease = Lease(order=held.order, crash_count=held.crashes)
        if report.ending:
            state = self._settle(Settlement(lease=lease, ending=report.ending))
        else:
            state = self._give_back(lease)
        if state in WAITS:
            self._noted[report.key.start_sequence] = (state, self._now)
        return state

    def _end_worker(self, worker_id: str) -> list[TakenBack]:
        self._note_word(WorkerWord(worker_id))
        taken = self._take_back(worker_id, is_crash=False)
        worker = self.workers[worker_id]
        worker.ended_at = worker.ended_at or self._now
        return taken

    def _bury(self, worker_id: str) -> list[TakenBack]:
        worker = self.workers.get(worker_id)
        if worker is None or worker.ended_at:
            return []
        taken = self._take_back(worker_id, is_crash=not worker.is_stopping)
        del self.workers[worker_id]
        self.news.add(worker_id)
        return taken

    def _take_back(self, worker_id: str, *, is_crash: bool) -> list[TakenBack]:
        mine = [(held, key_of(held)) for held in self.had_by(worker_id)]
        for held, _ in mine:
            if is_crash:
                self._crash(held)
            else:
                self._give_back(Lease(order=held.order, crash_count=held.crashes))
        return [TakenBack(key, held.order.state) for held, key in mine]

    def _begin(self, now: int) -> None:
        self._now = now
        self._queued = []
        self._ended = Counter()
        self.news, self.overdue = set(), {}
        self._forget_old_workers()

    def _sweep(self) -> None:
        self._expire()
        for held in self.standing():
            if held.order.state is State.SCHEDULED and held.due <= self._now:
                self._enqueue(held)
        self._find_overdue()

    def _expire(self) -> None:
        over = [
            held
            for held in self.standing()
            if held.order.state in WAITS and 0 < held.new.expire_time <= self._now
        ]
        over.sort(key=lambda held: (held.new.expire_time, held.order.accept_sequence))
        self._end_waiting(over, Event.EXPIRE)

    def _end_waiting(self, over: Iterable[Held], event: Event) -> None:
        for held in sorted(over, key=lambda held: held.order.state):
            self._end(held, event)

    def _settle(self, settlement: Settlement) -> State | None:
        held, ending = self._good(settlement.lease), settlement.ending
        if held is None:
            return None
        if ending.event is Event.SUCCEED:
            self._end(held, Event.SUCCEED, result=ending.result)
        elif held.is_to_stop:
            self._end(held, Event.CANCEL)
        elif ending.event is Event.FAIL:
            self._end(held, Event.FAIL, ending.failure, ending.result)
        else:
            held.due = self._now + ending.retry_after
            held.order = replace(unstarted(held.order), state=State.SCHEDULED)
        return held.order.state

    def _give_back(self, lease: Lease) -> State | None:
        held = self._good(lease)
        if held is None:
            return None
        if held.is_to_stop:
            self._end(held, Event.CANCEL)
        else:
            held.order = replace(held.order, attempt_count=held.order.attempt_count - 1)
            self._wait_again(held)
        return held.order.state

    def _good(self, lease: Lease) -> Held | None:
        held = self.held[lease.order.accept_sequence]
        is_running = held.order.state is State.PROCESSING
        is_this = held.order.start_sequence == lease.order.start_sequence
        return held if is_running and is_this else None

    def _wait_again(self, held: Held) -> None:
        held.order = unstarted(held.order)
        self._enqueue(held)

    def _enqueue(self, held: Held) -> None:
        held.order = replace(held.order, state=State.QUEUED)
        self._queued.append(self.waiting(held))

    def _end(
        self,
        held: Held,
        event: Event,
        failure: Failure | None = None,
        result: bytes | None = None,
    ) -> None:
        order = held.order = replace(held.order, state=OUTCOMES[event], complete_time=self._now)
        self._ended[order.tier] += 1
        self.ends.append(
            Completion(sequence=self.head + 1, order=order, failure=failure, result=result)
        )

    def _cancel(self, cancels: Sequence[Cancel]) -> list[Cancelled | None]:
        numbers = [cancel.accept_sequence for cancel in cancels]
        meant = [self.held[number] for number in dict.fromkeys(numbers) if self.find(number)]
        waiting = [held for held in meant if held.order.state in WAITS]
        self._end_waiting(waiting, Event.CANCEL)
        for held in meant:
            is_running = held.order.state is State.PROCESSING
            if held in waiting or (is_running and not held.is_to_stop):
                self._record_cancel(held, cancels)
            if is_running and held.holder and not held.is_to_stop:
                self.news.add(held.holder.worker_id)
            held.is_to_stop |= is_running
        return [self._cancelled(number) for number in numbers]

    def _cancel_waiting(self, asked: CancelWaiting) -> dict[Tier, int]:
        numbers = [number for number in dict.fromkeys(asked.accept_sequences) if self.find(number)]
        meant = [self.held[number] for number in numbers]
        waiting = [held for held in meant if held.order.state in WAITS]
        self._end_waiting(waiting, Event.CANCEL)
        for number in sorted(held.order.accept_sequence for held in waiting):
            detail = '{"outcome": "CANCELLED"}'
            self._record(Action.CANCEL_ORDER, asked.by, accept_sequence=number, detail=detail)
        return dict(Counter(held.order.tier for held in waiting))

    def _record_cancel(self, held: Held, cancels: Sequence[Cancel]) -> None:
        number = held.order.accept_sequence
        by = next(cancel.by for cancel in cancels if cancel.accept_sequence == number)
        outcome = "CANCELLED" if held.order.state is State.CANCELLED else "CANCEL_REQUESTED"
        detail = f'{{"outcome": "{outcome}"}}'
        self._record(Action.CANCEL_ORDER, by, accept_sequence=number, detail=detail)

    def _pause(self, pause: Pause) -> None:
        if pause.is_paused != (pause.tier in self.paused):
            self.paused ^= {pause.tier}
            action = Action.PAUSE_TIER if pause.is_paused else Action.RESUME_TIER
            self._record(action, pause.by, tier=pause.tier)

    def _record(self, action: Action, by: Operator | None, **subject: Any) -> None:  # noqa: ANN401
        if by:
            number = len(self.actions) + 1
            self.actions.append(
                OperatorAction(sequence=number, time=self._now, action=action, by=by, **subject)
            )

    def _cancelled(self, number: int) -> Cancelled | None:
        stands = self.find(number)
        if stands is None:
            return None
        if not isinstance(stands, Completion):
            return Cancelled(outcome=CancelOutcome.CANCEL_REQUESTED, stands=stands)
        is_cancelled = stands.order.state is State.CANCELLED
        outcome = CancelOutcome.CANCELLED if is_cancelled else CancelOutcome.TOO_LATE
        return Cancelled(outcome=outcome, stands=stands)

    def _accept(
        self, groups: Sequence[Sequence[NewOrder]], capacity: Capacity
    ) -> list[tuple[Receipt, ...] | RequestIdReused | OverCapacity]:
        before = self._accepted
        decisions = [self._decide(group, capacity, before) for group in groups]
        issued: set[int] = set()
        return [
            tuple(self._receipt(number, before, issued) for number in decision)
            if isinstance(decision, list)
            else decision
            for decision in decisions
        ]

    def _decide(
        self, group: Sequence[NewOrder], capacity: Capacity, before: int
    ) -> list[int] | RequestIdReused | OverCapacity:
        numbers: list[int] = []
        fresh: dict[int, NewOrder] = {}
        named: dict[tuple[str, str], int] = {}
        for new in group:
            key = (new.customer_id, new.request_id or "")
            number = {**named, **self._named}.get(key) if new.request_id else None
            if number is None:
                number = self._accepted + len(fresh) + 1
                fresh[number] = new
                named |= {key: number} if new.request_id else {}
            elif (fresh.get(number) or self.held[number].new).digest != new.digest:
                return RequestIdReused(request_id=key[1], accept_sequence=number)
            numbers.append(number)
        if refusal := self._no_room(list(fresh.values()), capacity, before):
            return refusal
        self._store(fresh)
        self._named |= named
        return numbers

    def _no_room(
        self, fresh: list[NewOrder], capacity: Capacity, before: int
    ) -> OverCapacity | None:
        total = self._accepted - before + len(fresh)
        has_regular = any(new.tier is Tier.REGULAR for new in fresh)
        if fresh and total > (capacity.regular if has_regular else capacity.total):
            return OverCapacity(len(fresh))
        if capacity.per_customer is None:
            return None
        for customer_id, count in Counter(new.customer_id for new in fresh).items():
            if self.waiting_of(customer_id) + count > capacity.per_customer:
                return OverCapacity(count, customer_id)
        return None

    def _store(self, fresh: dict[int, NewOrder]) -> None:
        if fresh:
            self._accept_time = max(self._accept_time, self._now)
        for number, new in fresh.items():
            order = accepted(new, number, self._accept_time)
            self.held[number] = held = Held(new=new, order=order, due=new.not_before)
            if new.not_before <= self._now:
                self._enqueue(held)
            detail, of = f'{{"copy": {number}}}', new.redrive_of or None
            original = self.held.get(new.redrive_of)
            if original and original.order.state in ENDED and not original.copy:
                original.copy = number
            self._record(Action.REDRIVE_ORDER, new.by, accept_sequence=of, detail=detail)
        self._accepted += len(fresh)

    def _receipt(self, number: int, before: int, issued: set[int]) -> Receipt:
        held = self.held[number]
        is_first = number > before and number not in issued
        issued.add(number)
        found = self.find(number)
        after = found.sequence - 1 if isinstance(found, Completion) else self.head
        return Receipt(
            order=remembered(held.order) if held.is_gone else held.order,
            replayed=not is_first,
            after=after,
            position=self.position(number),
        )

    def _claim(self, place: QueueEntry, holder: Holder | None = None) -> Lease | None:
        held = self.held.get(place.accept_sequence)
        if held is None or held.order.state is not State.QUEUED:
            return None
        self._started += 1
        held.order = replace(
            held.order,
            state=State.PROCESSING,
            attempt_count=held.order.attempt_count + 1,
            start_sequence=self._started,
            start_time=self._now,
        )
        held.holder, held.deadline = holder, 0
        if holder:
            if holder.worker_id not in self.workers:
                self._note_word(word_of(holder))
            held.deadline = self._now + self._limit if self._limit else 0
        return lease_of(held.order, held.crashes, holder)

    def _left_in_queue(self, started: Sequence[Lease]) -> list[QueueEntry]:
        numbers = {lease.order.accept_sequence for lease in started}
        return [place for place in self._queued if place.accept_sequence not in numbers]

    def _prune(self, wanted: Prune) -> int:
        count = 0
        for end in self.ends[self.earliest :][: wanted.limit]:
            if end.order.complete_time >= wanted.completed_before:
                break
            self.held[end.order.accept_sequence].is_gone = True
            self.earliest = end.sequence
            count += 1
        over = [
            key
            for key, number in self._named.items()
            if self.held[number].is_gone
            and self.held[number].order.complete_time < (wanted.requests_before or 0)
        ]
        for key in over:
            del self._named[key]
        return count + len(over)

    def _page(self, changes: Changes) -> list[QueueEntry]:
        page = changes.page
        if page is None:
            return []
        return [place for place in self.startable() if place[:2] > page.after[:2]][: page.limit]
