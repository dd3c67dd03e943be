"""What is kept of one call costs, alone: its numbers, its spans, its line in the log.

What a whole call with each costs tells `make bench ARGS=options`.
"""

import time
import timeit
from collections.abc import Callable
from functools import partial

from opentelemetry.sdk.trace import TracerProvider

from orderintake_server.calls.recorder import MethodRecorder, Recorder
from orderintake_server.metrics import CALL
from orderintake_server.telemetry import configure_log
from orderintake_server.telemetry.spans import RecordedSpans

TRACE = bytes(range(1, 26))
NUMBER = 20_000


def main() -> None:
    """Print the processor time of each way, the best of seven runs."""
    configure_log(form="text", level="info", write=len)
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
    print(f"{name:40}{best / NUMBER * 1e6:6.2f} µs")


if __name__ == "__main__":
    main()
