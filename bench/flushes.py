"""What one PostgreSQL commits a second, and what a slower flush costs: without servers, by stores.

Stores, each a process of its own, commit at once: orders accepted 1, 64 or 1,000 in a commit; and
whole lives, where each commit accepts as many orders as it takes and settles.

A slower disk is made of this one: a library that is loaded before the server's own adds a
millisecond to each flush. It takes a C compiler; without one this part is left out.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import load
import uvloop
from crew import Crew, crew
from database import Cluster, postgres, store, told

from orderintake_server.domain import Ending, Lease, NewOrder, Tier
from orderintake_server.store.changes import Capacity, Changes, ClaimNext, Settlement, Take
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from orderintake_server.telemetry import configure_log

DELAY = 1_000
"""Microseconds that each flush of the slower disk takes longer."""
SLOWLY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static int late(const char *name, int file) {
  int (*flush)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
  usleep(DELAY);
  return flush(file);
}

int fsync(int file) { return late("fsync", file); }
int fdatasync(int file) { return late("fdatasync", file); }
"""
STORES = (1, 2, 4)
KINDS = {
    "accepted, 1 in a commit": "accept 1",
    "64 in a commit": "accept 64",
    "1,000 in a commit": "accept 1000",
    "whole lives, 64 in a commit": "live 64",
    "whole lives, 1,000": "live 1000",
}
WARM_UP = 0.3
ROOM = Capacity(total=10**9, regular=10**9)
CONTENT = load.REQUEST.SerializeToString()


@contextmanager
def slower() -> Iterator[Path]:
    """Make the library that delays each flush. Raises FileNotFoundError without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler (on Debian: apt-get install gcc)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server is another user's
        source, library = folder / "slowly.c", folder / "slowly.so"
        source.write_text(SLOWLY)
        options = (f"-DDELAY={DELAY}", "-O2", "-shared", "-fPIC", "-o", str(library))
        subprocess.run([compiler, *options, str(source), "-ldl"], check=True)
        yield library


@contextmanager
def disks() -> Iterator[dict[str, Cluster]]:
    """Run a server on the disk as it is, and one on the slower disk if there can be."""
    with ExitStack() as stack:
        found = {"as it is": stack.enter_context(postgres())}
        try:
            library = stack.enter_context(slower())
        except FileNotFoundError as error:
            print(f"the slower disk is left out: {error}")
        else:
            with mock.patch.dict(os.environ, LD_PRELOAD=str(library)):
                found[f"+{DELAY / 1e3:g} ms a flush"] = stack.enter_context(postgres())
        yield found


async def commit(address: str) -> None:
    """Be one of the stores: do what each line says; print how many orders, in how many seconds."""
    async with postgres_store(address, workers=64) as opened:
        busy = _Busy(opened)
        print(flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            kind, size, seconds = line.split()
            began = time.perf_counter()
            orders = await busy.run(int(size), began + float(seconds), lives=kind == "live")
            print(orders, time.perf_counter() - began, flush=True)


class _Busy:
    """A store that is never idle."""

    def __init__(self, opened: PostgresStore) -> None:
        self._store = opened
        self._numbers = itertools.count()
        self._leases: list[Lease] = []

    async def run(self, size: int, end: float, *, lives: bool) -> int:
        """Commit until then; tell how many orders were accepted, or ended if it is about lives."""
        done = 0
        while time.perf_counter() < end:
            settles = [Settlement(lease=lease, ending=Ending()) for lease in self._leases]
            take = ClaimNext(takes=[Take(size)], is_idle=False) if lives else None
            changes = Changes(
                settles=settles, accepts=[self._new(size)], capacity=ROOM, claim_next=take
            )
            committed = await self._store.commit(changes)
            self._leases = committed.claimed_next
            done += len(settles) if lives else size
        return done

    def _new(self, size: int) -> list[NewOrder]:
        return [
            NewOrder(
                customer_id=f"customer-{number % 1000}",
                request_id=f"request-{os.getpid()}-{number}",
                tier=Tier.REGULAR if number % 10 else Tier.VIP,
                content=CONTENT,
            )
            for number in itertools.islice(self._numbers, size)
        ]


def measured(crews: dict[str, Crew], seconds: float, turns: int) -> None:
    """Let all work in turns, and print the medians."""
    cases = list(itertools.product(crews, STORES, KINDS))
    found: dict[tuple[str, int, str], list[float]] = {case: [] for case in cases}
    for working, kind in itertools.product(crews.values(), KINDS):
        _rate(working, kind, max(STORES), WARM_UP)
    for _ in range(turns):
        for disk, stores, kind in cases:
            found[disk, stores, kind].append(_rate(crews[disk], kind, stores, seconds))
    print(f"\norders a second, medians of {turns} turns of {seconds:g} s\n")
    print(f"| flush | stores | {' | '.join(KINDS)} |\n|" + " --- |" * (len(KINDS) + 2))
    for disk, stores in itertools.product(crews, STORES):
        rates = [f"{statistics.median(found[disk, stores, kind]):,.0f}" for kind in KINDS]
        print(f"| {disk} | {stores} | {' | '.join(rates)} |")


def _rate(working: Crew, kind: str, stores: int, seconds: float) -> float:
    """Tell how many orders a second so many stores do together."""
    told = [line.split() for line in working.run(f"{KINDS[kind]} {seconds}", count=stores)]
    return sum(int(orders) / float(took) for orders, took in told)


def bytes_of(running: Cluster, seconds: float) -> None:
    """Print what an order takes on the disk, and in the log of changes, over its whole life."""
    print(
        f"\n| whole lives, of {len(CONTENT)} bytes each | on the disk | WAL |\n"
        + "| --- " * 3
        + "|"
    )
    for size in (64, 1_000):
        address = store(running, f"sized_{size}")
        with crew("flushes.py", "--commit", address, count=1) as alone:
            running.run_sql("CHECKPOINT")
            before = _wal(running)
            orders = int(alone.run(f"live {size} {seconds}")[0].split()[0])
            wal = (_wal(running) - before) / orders
        tables = running.run_sql(_TABLES, database=f"sized_{size}")
        print(f"| {size:,} in a commit | {int(tables) / orders:,.0f} bytes | {wal:,.0f} bytes |")


def _wal(running: Cluster) -> int:
    return int(running.run_sql("SELECT pg_current_wal_lsn() - '0/0'"))


_TABLES = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relnamespace = 'orderintake'::regnamespace AND relkind = 'r'
"""


def main() -> None:
    """Start PostgreSQL, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3, help="of each")
    parser.add_argument("--commit", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.commit:
        uvloop.run(commit(arguments.commit))
        return
    with disks() as running, ExitStack() as stack:
        crews = {}
        for disk, server in running.items():
            address = store(server, "committed")
            print(f"{disk}: {told(address)}")
            committing = crew("flushes.py", "--commit", address, count=max(STORES))
            crews[disk] = stack.enter_context(committing)
        measured(crews, arguments.seconds, arguments.turns)
        bytes_of(running["as it is"], 5 * arguments.seconds)


if __name__ == "__main__":
    configure_log(form="text", level="error")  # standard output is for figures
    main()
