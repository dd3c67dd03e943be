"""What a killed server leaves on the disk, and the rules that its starts must have obeyed."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orderintake_server.domain import Tier
from orderintake_server.store.sqlite.database import NAME


@dataclass(frozen=True, kw_only=True)
class Remains:
    """The store between two lives of the server. Starts are order by start sequence."""

    last_start: int
    running: dict[int, int]
    ended: dict[int, int]
    tiers: dict[int, Tier]
    attempts: dict[int, int]


NOTHING = Remains(last_start=0, running={}, ended={}, tiers={}, attempts={})


def remains(data: Path) -> Remains:
    """Read the store of a server that is gone, leaving its files as they are."""
    with _copy(data) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            return NOTHING
        query = connection.execute
        return Remains(
            last_start=query("SELECT started FROM counters").fetchone()[0],
            running=dict(query("SELECT start_sequence, accept_sequence FROM leases")),
            ended=dict(query("SELECT start_sequence, accept_sequence FROM log")),
            tiers={n: Tier(tier) for n, tier in query("SELECT accept_sequence, tier FROM orders")},
            attempts=dict(query("SELECT accept_sequence, attempt_count FROM log")),
        )


@contextmanager
def _copy(data: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy: to open the files themselves would recover them in the server's place."""
    with tempfile.TemporaryDirectory() as directory:
        for path in data.glob(f"{NAME}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, directory)
        with closing(sqlite3.connect(Path(directory) / NAME)) as connection:
            yield connection


def check_starts(lives: list[Remains]) -> None:
    """Check every start there was, when all orders have ended.

    P9: starts are numbered without a hole. P10: each start is known to have ended an order or to
    have been cut short by a kill, and is counted as an attempt. P6, P8: see `_check_life`.
    """
    last = lives[-1]
    starts = dict(last.ended)
    for life in lives:
        starts |= life.running
    assert sorted(starts) == list(range(1, last.last_start + 1))
    assert Counter(starts.values()) == Counter(last.attempts)
    began = 0
    for life in lives:
        _check_life(starts, range(began + 1, life.last_start + 1), last.tiers)
        began = life.last_start


def _check_life(starts: dict[int, int], life: range, tiers: dict[int, Tier]) -> None:
    """Check that no order of one life started while a more urgent one waited.

    What was accepted before an order and is of its tier or a higher one must start before it.
    From the last start back to the first: who starts later is waiting now.
    """
    later = {starts[number] for number in range(life.stop, len(starts) + 1)}
    waiting = later - {starts[number] for number in life}
    first = {
        tier: min((n for n in waiting if tiers[n] >= tier), default=len(tiers) + 1) for tier in Tier
    }
    for number in reversed(life):
        order = starts[number]
        assert order < first[tiers[order]], f"start {number} overtook order {first[tiers[order]]}"
        for tier in Tier:
            if tiers[order] >= tier:
                first[tier] = min(first[tier], order)
