"""What it costs to see calls: traces with an SDK and without one, and the access log.

Servers that take orders run side by side and take turns under load; the processor time of a call is
compared turn by turn, for a noisy machine disturbs all. After that, what is kept of one call alone.
"""

import argparse
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from place_order import measured
from servers import order_server

from orderintake_server.metrics import CALL
from orderintake_server.rpc.recorder import MethodRecorder, Recorder
from orderintake_server.telemetry import configure_log
from orderintake_server.telemetry.spans import RecordedSpans

PLAIN = "no SDK, access log off"
SDK = ("--handler", "traced:handle")
SERVERS: dict[str, tuple[str, ...]] = {
    PLAIN: ("--access-log", "off"),
    "no SDK, access log below --log-level": (),
    "access log at info": ("--access-log", "info"),
    "the same as JSON": ("--access-log", "info", "--log-format", "json"),
    "an SDK that keeps all spans": ("--access-log", "off", *SDK),
}
TRACE = bytes(range(1, 26))
NUMBER = 20_000


def main() -> None:
    """Measure and print microseconds of processor time a call, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="calls in each turn")
    parser.add_argument("--turns", type=int, default=7, help="turns of each server")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        servers = {
            name: stack.enter_context(
                order_server(f"{folder}/{number}", "--workers", "0", *options)
            )
            for number, (name, options) in enumerate(SERVERS.items())
        }
        found = measured(servers, calls=arguments.calls, turns=arguments.turns)
    print("a PlaceOrder, of the server's processor time; medians")
    for name, turns in found.items():
        pairs = zip(turns, found[PLAIN], strict=True)
        ratio = statistics.median(each.microseconds / plain.microseconds for each, plain in pairs)
        cost = statistics.median(each.microseconds for each in turns)
        print(f"  {name:40}{cost:6.0f} µs   {ratio:.3f}")
    alone()


def alone() -> None:
    """Print what is kept of one call alone costs."""
    configure_log(form="text", level="info", write=len)
    print("what is kept of one call, alone; best of 7")
    recorders = {
        "numbers only": Recorder(level=None),
        "access log below the level": Recorder(),
        "access log at info": Recorder(level=20),
        "spans of an SDK": Recorder(level=None, spans=RecordedSpans(TracerProvider())),
    }
    for name, recorder in recorders.items():
        method = recorder.of("orderintake.v1.OrderIntakeService/PlaceOrder", CALL, is_traced=True)
        show(name, partial(keep, method, None))
        show(f"{name}, in a trace", partial(keep, method, TRACE))


def keep(method: MethodRecorder, trace: bytes | None) -> None:
    """Keep one call that does nothing."""
    method.begin(trace).end()


def show(name: str, call: Callable[[], object]) -> None:
    """Print the processor time of one call."""
    best = min(timeit.repeat(call, timer=time.process_time, number=NUMBER, repeat=7))
    print(f"  {name:40}{best / NUMBER * 1e6:6.2f} µs")


if __name__ == "__main__":
    main()
