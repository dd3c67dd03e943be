"""PlaceOrder, fully durable, against a bare echo of the same messages: calls a second, and ratios.

Both servers run side by side and take turns under load, so that a noisy machine disturbs both.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import grpc
import load
from servers import bare_server, order_server

from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

SERVERS = {
    "PlaceOrder, orders only taken": "0",
    "PlaceOrder, orders processed too": "8",
}


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
        ports = {"bare echo": stack.enter_context(bare_server("echo_server.py")).port}
        for name, workers in SERVERS.items():
            server = order_server(f"{folder}/{workers}", "--workers", workers)
            ports[name] = stack.enter_context(server).port
        rates = measured(ports, calls=arguments.calls, turns=arguments.turns)
        expected = arguments.calls * arguments.turns + WARM_UP
        for name in SERVERS:
            if accepted(ports[name]) != expected:
                raise SystemExit(f"{name}: the server did not store every order")
    report(rates)


WARM_UP = 2_000


def measured(ports: dict[str, int], *, calls: int, turns: int) -> dict[str, list[float]]:
    """Drive each server in turn."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for port in ports.values():
        load.calls_per_second(port, WARM_UP)
    for _ in range(turns):
        for name, port in ports.items():
            rates[name].append(load.calls_per_second(port, calls))
    return rates


def report(rates: dict[str, list[float]]) -> None:
    """Print each server's median and its ratio to the bare echo."""
    floor = statistics.median(rates["bare echo"])
    print(f"{load.IN_FLIGHT} calls in flight, driven by {load.driver()}; medians")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"  {name:36}{rate:10,.0f} calls/s   {rate / floor:.2f} of the bare echo")


if __name__ == "__main__":
    main()
