"""The judge of the chaos run of workers finds every way in which a start can be miscounted."""

import pytest

from orderintake import Completion, Failure, Order, State
from orderintake_server.store.audit import Finding
from support.fates import Fate, fates

Rows = list[tuple[str, ...]]
SCHEDULED, QUEUED = str(int(State.STATE_SCHEDULED)), str(int(State.STATE_QUEUED))


class Written:
    """A store of one order, in which this was written down: attempt and crashes of each start."""

    def __init__(self, *counts: tuple[int, int], ends: dict[int, str], in_all: int = 0) -> None:
        starts = [
            tuple(map(str, (1, number, attempt, crashes, 1)))
            for number, (attempt, crashes) in enumerate(counts, start=1)
        ]
        total = str(in_all or len(starts))
        self._rows: dict[str, Rows] = {
            "seen_workers": [("1", ""), ("1", "hand")],
            "seen_ends": [(str(start), state) for start, state in ends.items()],
            "seen_starts": starts,
            "starts": [(total, total)],
        }

    def watch(self) -> None:
        """It was."""

    def ask(self, query: str) -> Rows:
        """Give the rows of the table that a query names last."""
        name = query.partition(" FROM ")[2].split()[0]
        return self._rows[name]

    def audit(self) -> list[Finding]:
        """Nothing is wrong with it otherwise."""
        return []


def ended(start: int, attempts: int, code: str = "") -> list[Completion]:
    order = Order(
        order_id="x", accept_sequence=1, start_sequence=start, attempt_count=attempts,
        state=State.STATE_FAILED if code else State.STATE_SUCCEEDED,
    )  # fmt: skip
    return [Completion(order=order, failure=Failure(code=code))]


def test_each_start_has_one_fate_and_who_died_is_charged_by_name() -> None:
    store = Written((1, 0), (2, 0), (2, 0), (3, 1), ends={1: SCHEDULED, 2: QUEUED})
    found = fates(store, ended(4, 3))
    told = {fate: [start.number for _, start in starts] for fate, starts in found.of.items()}
    assert told == {Fate.RETRIED: [1], Fate.RETURNED: [2], Fate.CHARGED: [3], Fate.ENDED: [4]}
    assert [name for name, _ in found.of[Fate.CHARGED]] == ["hand"]
    assert found.problems == []


def test_the_last_crash_of_a_quarantined_order_is_one() -> None:
    found = fates(Written((1, 0), (2, 1), ends={}), ended(2, 2, "QUARANTINED"))
    assert len(found.of[Fate.CHARGED]) == 2
    assert found.problems == []


@pytest.mark.parametrize(
    ("store", "attempts"),
    [
        pytest.param(Written((1, 0), (2, 2), ends={}), 2, id="charged twice"),
        pytest.param(Written((1, 0), (2, 0), ends={}), 2, id="not charged, and counted"),
        pytest.param(Written((1, 0), (1, 1), ends={}), 1, id="charged, and not counted"),
        pytest.param(Written((1, 0), (2, 0), ends={1: QUEUED}), 2, id="given back and counted"),
        pytest.param(Written((1, 0), (2, 1), ends={1: SCHEDULED}), 2, id="retried and charged"),
        pytest.param(Written((1, 0), ends={}), 2, id="ended with an attempt too many"),
        pytest.param(Written((1, 0), ends={}, in_all=2), 1, id="a start that nobody was leased"),
    ],
)
def test_a_start_that_is_miscounted_is_found(store: Written, attempts: int) -> None:
    last = len(store.ask("SELECT * FROM seen_starts"))
    assert fates(store, ended(last, attempts)).problems
