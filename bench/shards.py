"""A plan, by simulation, for more than one primary: customers hashed over many PostgreSQLs.

A shard is one primary of the capacity given (whole lives a second, by bench/flushes.py), on which
one commit happens at a time. Customers hash to slots, and slots are laid on shards. The same seed
gives the same plan.
"""

import argparse
import heapq
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random

SLOTS = 16_384
FULL = 1_024
"""Orders that one replica puts into one commit, at the most."""
ORDERS = 200_000
"""In the simulation of one shard."""
PARTS = 4
"""A customer that is split has parts of at most so manieth of what a shard is to be used for."""
MOST_SHARDS = 20
"""Times the least number there could be: beyond, it is given up."""
SURGE = 1.3


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What a primary can do: orders a second, and seconds that a commit takes at least."""

    capacity: float
    commit: float

    def seconds(self, orders: int) -> float:
        """Tell how long a commit of so many orders takes."""
        return self.commit + orders * (1 / self.capacity - self.commit / FULL)


def zipf(customers: int, exponent: float, rate: float) -> list[float]:
    """Tell how many orders a second each customer places, the busiest first."""
    weights = [number**-exponent for number in range(1, customers + 1)]
    total = sum(weights)
    return [rate * weight / total for weight in weights]


def split(rates: Sequence[float], most: float) -> Iterator[float]:
    """Give customers of more than `most` several names, so that no name has more."""
    for rate in rates:
        parts = math.ceil(rate / most)
        yield from [rate / parts] * parts


def slots(rates: Iterator[float] | Sequence[float], random: Random) -> list[float]:
    """Hash customers to slots; tell the load of each."""
    loads = [0.0] * SLOTS
    for rate in rates:
        loads[random.getrandbits(14)] += rate
    return loads


def laid_evenly(loads: Sequence[float], shards: int) -> list[float]:
    """Give each shard as many slots, whatever their load; tell the load of each shard."""
    upto = [0.0, *accumulate(loads)]
    ends = [SLOTS * number // shards for number in range(shards + 1)]
    return [upto[end] - upto[begin] for begin, end in pairwise(ends)]


def laid_by_load(loads: Sequence[float], shards: int) -> list[float]:
    """Give the heaviest slot that is left to the shard with the least load, again and again."""
    heap = [0.0] * shards
    for load in sorted(loads, reverse=True):
        heapq.heapreplace(heap, heap[0] + load)
    return heap


def planned(loads: Sequence[float], limit: float, *, by_load: bool) -> list[float] | None:
    """Find how many shards it takes that none has more than `limit`; tell the load of each."""
    lay = laid_by_load if by_load else laid_evenly
    least = math.ceil(sum(loads) / limit)
    shards = least
    while shards < MOST_SHARDS * least:
        laid = lay(loads, shards)
        if max(laid) <= limit:
            return laid
        shards += max(1, shards // 200)
    return None


def receipts(shard: Shard, rate: float, replicas: int, random: Random) -> tuple[list[float], float]:
    """Simulate one shard: replicas commit all that has come to them, one of them at a time.

    Tells how long each order waited for its receipt, and how many orders a commit had.
    """
    accept_counts: list[list[float]] = [[] for _ in range(replicas)]
    now = 0.0
    for _ in range(ORDERS):
        now += random.expovariate(rate)
        accept_counts[random.randrange(replicas)].append(now)
    asks = [(times[0], replica) for replica, times in enumerate(accept_counts)]
    heapq.heapify(asks)
    done, free, waits, commits = [0] * replicas, 0.0, [], 0
    while asks:
        asked, replica = heapq.heappop(asks)
        times, first = accept_counts[replica], done[replica]
        last = first
        while last < min(first + FULL, len(times)) and times[last] <= asked:
            last += 1
        free = max(free, asked) + shard.seconds(last - first)
        waits += [free - time for time in times[first:last]]
        commits += 1
        done[replica] = last
        if last < len(times):
            heapq.heappush(asks, (max(free, times[last]), replica))
    return waits, len(waits) / commits


def all_busy(workers: int, load: float) -> float:
    """Tell how often all of so many workers are busy, by Erlang; `load`: how many it takes."""
    if load >= workers:
        return 1.0
    blocked = 1.0
    for number in range(1, workers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / workers * (1 - blocked))


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Orders that wait for a free worker, VIP ones first, each handled for `handling` seconds."""

    rate: float
    vip: float
    workers: int
    handling: float

    def told(self) -> str:
        """Tell how many VIP orders wait, the p99 of their wait, and how long regular ones do."""
        freed, load = self.workers / self.handling, self.rate * self.handling
        busy, vips = all_busy(self.workers, load), self.rate * self.vip
        p99 = max(math.log(max(100 * busy, 1)) / (freed - vips), 0)
        regular = "for ever"
        if load < self.workers:
            mean = busy * freed / (freed - vips) / (freed - self.rate)
            regular = f"{mean * 1e3:,.1f} ms on average"
        return f"{busy:.1%} | {p99 * 1e3:,.1f} ms | {regular}"


def print_plan(arguments: argparse.Namespace, limit: float) -> list[float]:
    """Print how many shards it takes; give the loads of the most uneven plan by hash alone."""
    chosen: list[float] = []
    print(
        f"shards that it takes; customers of more than {limit / PARTS:,.0f} a second may be split"
    )
    print("| s | busiest customer | by hash alone: the busiest shard | slots laid by load", end=" ")
    print("| and customers split |\n|" + " --- |" * 5)
    for exponent in arguments.zipf:
        rates = zipf(arguments.customers, exponent, arguments.rate)
        loads = slots(rates, Random(arguments.seed))
        parts = slots(split(rates, limit / PARTS), Random(arguments.seed))
        heavy = sum(rate > limit / PARTS for rate in rates)
        plans = [
            planned(loads, limit, by_load=False),
            planned(loads, limit, by_load=True),
            planned(parts, limit, by_load=True),
        ]
        told = [f"{len(plan):,}" if plan else "no number" for plan in plans]
        if plans[0]:
            told[0] += f": {max(plans[0]) / statistics.mean(plans[0]):.2f} of the mean"
            chosen = plans[0]
        if heavy:
            told[2] += f": {heavy:,} of them"
        print(f"| {exponent:g} | {rates[0]:,.0f} a second | {' | '.join(told)} |")
    return chosen


def print_receipts(arguments: argparse.Namespace, shard: Shard) -> None:
    """Print how long a receipt takes on a shard."""
    print("\n| load of a shard | orders in a commit | receipt p50 | p99 |\n|" + " --- |" * 4)
    for used in sorted({0.1, 0.3, arguments.utilisation, 0.8, 0.9, 0.95}):
        rate = used * shard.capacity
        waits, each = receipts(shard, rate, arguments.replicas, Random(arguments.seed))
        parts = statistics.quantiles(waits, n=100)
        told = f"{parts[49] * 1e3:.1f} ms | {parts[98] * 1e3:.1f} ms"
        print(f"| {used:.0%} ({rate:,.0f} a second) | {each:.1f} | {told} |")


def print_priority(arguments: argparse.Namespace, laid: Sequence[float]) -> None:
    """Print what it means that a VIP order goes first on its own shard only."""
    mean = statistics.mean(laid)
    workers = math.ceil(mean * arguments.handling / arguments.busy)
    rows = {
        "one queue, were there one": (sum(laid), workers * len(laid)),
        "a shard of mean load": (mean, workers),
        "the busiest": (max(laid), workers),
        f"one whose customers place {SURGE - 1:.0%} more": (mean * SURGE, workers),
    }
    print(f"\n{workers:,} workers for each shard, {arguments.handling * 1e3:g} ms for each order")
    print(f"(those of the mean shard are {arguments.busy:.0%} busy), {arguments.vip:.0%} VIP\n")
    print("| queue | VIP orders that wait | p99 of their wait | regular orders wait |")
    print("|" + " --- |" * 4)
    for name, (rate, count) in rows.items():
        queue = Queue(rate=rate, vip=arguments.vip, workers=count, handling=arguments.handling)
        print(f"| {name} | {queue.told()} |")


def main() -> None:
    """Plan, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1e6, help="orders a second, over all")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--zipf", type=float, nargs="+", default=[0.0, 0.6, 0.8, 1.0], metavar="S")
    parser.add_argument("--capacity", type=float, default=11_500, help="whole lives a second")
    parser.add_argument("--utilisation", type=float, default=0.6, help="of it, at the most")
    parser.add_argument("--commit", type=float, default=1.0, help="ms that one takes at least")
    parser.add_argument("--replicas", type=int, default=4, help="of each shard")
    parser.add_argument("--vip", type=float, default=0.1, help="share of VIP orders")
    parser.add_argument("--handling", type=float, default=0.05, help="seconds for each order")
    parser.add_argument("--busy", type=float, default=0.8, help="share of busy workers")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shard = Shard(capacity=arguments.capacity, commit=arguments.commit / 1e3)
    limit = arguments.utilisation * shard.capacity
    print(f"{arguments.rate:,.0f} orders a second of {arguments.customers:,} customers, Zipf s;")
    print(f"a shard does {shard.capacity:,.0f} a second, and is given {limit:,.0f} at the most\n")
    laid = print_plan(arguments, limit)
    print_receipts(arguments, shard)
    if laid:
        print_priority(arguments, laid)


if __name__ == "__main__":
    main()
