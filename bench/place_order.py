"""PlaceOrder, fully durable, against a bare echo of the same messages: calls a second, and ratios.

All servers run side by side and take turns under load, so that a noisy machine disturbs all. The
processor time that a call takes of its server is told too: it depends less on what else runs.
"""

import argparse
import statistics
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import load
from servers import Server, bare_server, order_server

from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

TAKEN, PROCESSED = "PlaceOrder, orders only taken", "PlaceOrder, orders processed too"
SCRAPED = "the same, scraped every second"
SERVERS = {
    TAKEN: ("--workers", "0"),
    PROCESSED: ("--workers", "8"),
    SCRAPED: ("--workers", "8", "--http", "127.0.0.1:0"),
}


class Turn(NamedTuple):
    """What a server did in one turn."""

    per_second: float
    microseconds: float
    """Of the server's processor time, for each call."""


def accepted(port: int) -> int:
    """Ask the server how many orders it has accepted, by placing one more."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        receipt = api_grpc.OrderIntakeServiceStub(channel).PlaceOrder(load.REQUEST)
    return receipt.order.accept_sequence - 1


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="calls in each turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each server")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        servers = {"bare echo": stack.enter_context(bare_server("echo_server.py"))}
        for number, (name, options) in enumerate(SERVERS.items()):
            server = order_server(f"{folder}/{number}", *options)
            servers[name] = stack.enter_context(server)
        found = measured(servers, calls=arguments.calls, turns=arguments.turns)
        expected = arguments.calls * arguments.turns + WARM_UP
        for name in SERVERS:
            if accepted(servers[name].port) != expected:
                raise SystemExit(f"{name}: the server did not store every order")
    report(found)


WARM_UP = 2_000


def measured(servers: dict[str, Server], *, calls: int, turns: int) -> dict[str, list[Turn]]:
    """Drive each server in turn."""
    found: dict[str, list[Turn]] = {name: [] for name in servers}
    for server in servers.values():
        load.calls_per_second(server.port, WARM_UP)
    for _ in range(turns):
        for name, server in servers.items():
            with scraped(server):
                found[name].append(turn(server, calls))
    return found


def turn(server: Server, calls: int) -> Turn:
    """Drive one server once."""
    before = server.cpu_seconds()
    rate = load.calls_per_second(server.port, calls)
    return Turn(rate, (server.cpu_seconds() - before) / calls * 1e6)


@contextmanager
def scraped(server: Server) -> Iterator[None]:
    """Read a server's metrics every second while inside, if it serves them."""
    over = threading.Event()

    def scrape() -> None:
        while server.metrics and not over.wait(1.0):
            with urllib.request.urlopen(server.metrics) as answer:  # noqa: S310 - our own
                answer.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def report(found: dict[str, list[Turn]]) -> None:
    """Print each server's medians, and the ratio of its rate to the bare echo's."""
    medians = {
        name: Turn(*map(statistics.median, zip(*turns, strict=True)))
        for name, turns in found.items()
    }
    floor = medians["bare echo"].per_second
    print(f"{load.IN_FLIGHT} calls in flight, driven by {load.driver()}; medians")
    for name, (rate, microseconds) in medians.items():
        ratio = f"{rate / floor:.2f} of the bare echo"
        print(f"  {name:36}{rate:10,.0f} calls/s   {microseconds:5.0f} µs each   {ratio}")
    pairs = zip(found[PROCESSED], found[SCRAPED], strict=True)
    cost = statistics.median(with_it.microseconds / plain.microseconds for plain, with_it in pairs)
    print(f"  scraped every second: {cost:.3f} of the processor time without, turn by turn")


if __name__ == "__main__":
    main()
