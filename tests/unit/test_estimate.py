"""The estimate of a wait: its interval of 80 % covers 75 to 85 % of real waits, in simulation."""

import heapq
import random

import pytest

from orderintake_server.dispatch.estimate import ServiceTimes

DISTRIBUTIONS = {
    "exponential": lambda chance: chance.expovariate(1.0),
    "lognormal": lambda chance: chance.lognormvariate(0.0, 0.5),
    "uniform": lambda chance: chance.uniform(0.5, 1.5),
    "two kinds": lambda chance: chance.expovariate(2.0 if chance.random() < 0.8 else 0.5),
}


class TurnedClock:
    """A clock that the simulation turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def covered(distribution: str, *, workers: int, seed: int) -> list[bool]:
    """Simulate busy workers on a long queue; tell of many orders whether the estimate held.

    At many moments the order at a random place asks; its start is seen later.
    """
    chance = random.Random(seed)
    clock = TurnedClock()
    times = ServiceTimes(workers=workers, clock=clock)
    busy = [(DISTRIBUTIONS[distribution](chance), 0.0) for _ in range(workers)]
    heapq.heapify(busy)
    awaited: dict[int, tuple[float, float]] = {}
    held: list[bool] = []
    for departure in range(6000):
        clock.now, began = heapq.heappop(busy)
        times.add(began)
        if departure in awaited:
            least, most = awaited.pop(departure)
            held.append(least <= clock.now <= most)
        heapq.heappush(busy, (clock.now + DISTRIBUTIONS[distribution](chance), clock.now))
        position = chance.randint(20, 200)
        if departure > 500 and departure + position not in awaited:
            wait = times.wait(position)
            assert wait is not None
            awaited[departure + position] = (clock.now + wait.least, clock.now + wait.most)
    return held


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_interval_covers_what_it_says(distribution: str, workers: int) -> None:
    held = [hit for seed in range(5) for hit in covered(distribution, workers=workers, seed=seed)]
    assert 0.75 <= sum(held) / len(held) <= 0.85


def test_nothing_is_estimated_before_anything_was_measured() -> None:
    assert ServiceTimes(workers=4, clock=lambda: 0.0).wait(1) is None


def test_nothing_is_estimated_without_workers() -> None:
    times = ServiceTimes(workers=0, clock=lambda: 1.0)
    times.add(0.0)
    assert times.wait(1) is None


def test_orders_that_take_no_time_start_at_once() -> None:
    times = ServiceTimes(workers=1, clock=lambda: 1.0)
    times.add(1.0)
    wait = times.wait(9)
    assert wait is not None
    assert (wait.least, wait.mean, wait.most) == (0.0, 0.0, 0.0)


def test_the_interval_of_times_that_never_vary_holds_the_mean() -> None:
    times = ServiceTimes(workers=2, clock=lambda: 3.0)
    for _ in range(100):
        times.add(1.0)
    wait = times.wait(9)
    assert wait is not None
    assert wait.mean == times.mean_wait(9) == 9.0
    assert wait.least <= wait.mean <= wait.most
