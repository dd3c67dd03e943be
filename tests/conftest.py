"""What every test runs under."""

from collections.abc import Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from orderintake_server.telemetry import configure_log

# A disk's flush can take longer than the deadline that Hypothesis sets by itself.
hypothesis.settings.register_profile("orderintake", deadline=None)
hypothesis.settings.load_profile("orderintake")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(autouse=True)
def _log() -> None:
    """Write the log as a server does, where pytest shows it beside a failure."""
    configure_log(form="text", level="debug")


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test in which our code blocks the event loop."""
    with blockbuster_ctx(["orderintake", "orderintake_server"]) as detector:
        detector.functions["os.stat"].can_block_in("linecache.py", "checkcache")  # a traceback
        for look in ("os.stat", "os.path.abspath"):  # asyncpg, for passwords and certificates
            detector.functions[look].can_block_in(
                "asyncpg/connect_utils.py", "_parse_connect_dsn_and_args"
            )
        # grpc joins its poller's thread when its last channel goes, wherever the garbage is found.
        acquire = detector.functions["threading.Lock.acquire"]
        acquire.can_block_in("/threading.py", "join")
        acquire.can_block_in("coverage/collector.py", {"lock_data", "unlock_data"})  # its own
        yield detector
