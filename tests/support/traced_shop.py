"""A shop's module that sets up an OpenTelemetry SDK, and logs what it never should."""

import logging
import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from orderintake.work import OrderAttempt

_file = open(os.environ["SPANS_FILE"], "a", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=_file)))
trace.set_tracer_provider(_provider)


def bake(order: OrderAttempt) -> None:
    """Tell everybody a secret, by every way there is, and fail."""
    secret = os.environ["SHOPS_SECRET"]
    logging.getLogger("shop").warning("calling with %s", {"authorization": f"Bearer {secret}"})
    sys.stderr.write(f"sent {secret}\n")
    os.write(2, f"from C: {secret}\n".encode())
    raise ConnectionError(f"refused: {secret}, for {order.order_id}")
