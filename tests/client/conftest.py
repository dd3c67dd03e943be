"""A fake server, and both clients to talk to it."""

import logging
import threading
from collections.abc import Iterator

import pytest

from client.blocking import BlockingClient, Connect
from client.fake_server import FakeServer
from orderintake import Client


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(params=[Client, BlockingClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Either client; both have the same surface."""
    client: Connect = request.param
    return client


@pytest.fixture
def lost() -> Iterator[threading.Event]:
    """Set when a subscription logs that its stream is lost."""
    event = threading.Event()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: event.set()  # type: ignore[method-assign]
    logging.getLogger("orderintake").addHandler(handler)
    yield event
    logging.getLogger("orderintake").removeHandler(handler)
