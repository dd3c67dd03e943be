"""What every test runs under."""

import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import is_hypothesis_test

from orderintake_server.telemetry import configure_log

# A shell may have left these ignored (nohup, a job in the background); then what tests start would
# ignore them too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A disk's flush can take longer than the deadline that Hypothesis sets by itself. The number of
# examples is a percentage of those that a long walk asks for.
hypothesis.settings.register_profile("whole", deadline=None, max_examples=100)
hypothesis.settings.register_profile("short", deadline=None, max_examples=10)

MOST_WORKERS = 16
"""Each of them has PostgreSQL servers of its own."""
LIMIT_SECONDS = 2.0
"""A case that has none of these marks takes a second at most; on a slow machine it may take two.

The time of its fixtures does not count."""
CLEAN_UP_SECONDS = 60.0
LONG = {"always", "seconds", "slow"}
NOT_FAST = {"seconds", "again"}
TOO_LONG = "takes too long, and has no mark that says so: "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out cases that take seconds")
    parser.addoption("--long", action="store_true", help="run what --fast leaves out or cuts short")
    parser.addoption("--slow", action="store_true", help="run the slow cases too")
    parser.addoption(
        "--looks",
        type=int,
        default=0,
        help="fail for a case without a mark that takes too long in each of N runs",
    )


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("short" if config.getoption("--fast") else "whole")
    if config.getoption("--looks") and not hasattr(config, "workerinput"):  # not in xdist's workers
        config.pluginmanager.register(Limit(config.getoption("--looks")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Tell how many cases run at once: most of the long ones wait for processes that they start."""
    each = 2 if config.getoption("--fast") else 3
    return min(each * (os.cpu_count() or 1), MOST_WORKERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = set() if config.getoption("--slow") else {"slow"}
    if config.getoption("--fast"):
        left_out |= NOT_FAST
    sides: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        is_long = not marks.isdisjoint(NOT_FAST) or is_hypothesis_test(getattr(item, "obj", None))
        is_wanted = is_long or not config.getoption("--long")
        sides[is_wanted and marks.isdisjoint(left_out)].append(item)
    items[:] = sides[True]
    config.hook.pytest_deselected(items=sides[False])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End a process whose case hangs beyond its timeout, so that it never holds the whole suite."""
    mark = item.get_closest_marker("timeout")
    _end_after(float(mark.args[0] if mark else item.config.getini("timeout")), item.config)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Go on, for pytest ends the watch here: what a case that failed cleans up may hang too."""
    _end_after(0, node.config)


def _end_after(seconds: float, config: pytest.Config) -> None:
    stderr = config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(seconds + CLEAN_UP_SECONDS, exit=True, file=stderr)


class Limit:
    """Fails a run in which a case without a mark takes longer than the limit.

    Other cases that run at the same time slow a case down. So those that took too long run again
    afterwards, one after the other, and fail only when each run of them took too long.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        is_long = report.when == "call" and report.passed and report.duration > LIMIT_SECONDS
        if is_long and LONG.isdisjoint(report.keywords):
            self._found.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._found and self._looks > 1:
            self._found = self._look_again(session.config.rootpath)
        if self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _look_again(self, root: Path) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--fast", f"--looks={self._looks - 1}"]
        again = subprocess.run(
            [*command, *self._found], cwd=root, check=False, capture_output=True, text=True
        )
        if again.returncode > pytest.ExitCode.TESTS_FAILED:
            return self._found
        return [case for case in self._found if f"{TOO_LONG}{case}\n" in again.stdout]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for case in self._found:
            terminalreporter.write_line(f"{TOO_LONG}{case}")


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
