"""How a handler is found, and the one there is without another: simulate."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orderintake.v1 import order_pb2
from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.errors import StartupFailed
from orderintake_server.handlers import HandlerCalls, OrderAttempt, Reject, load, simulate

ATTEMPT = OrderAttempt(
    order_id="0123abcd-000000000001",
    customer_id="ada",
    tier=order_pb2.TIER_VIP,
    lines=[],
    labels={},
    payload=None,
    accept_time=datetime(2026, 1, 1, tzinfo=UTC),
    attempt=1,
    signal=StopSignal(),
)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept, without sleeping."""
    seconds: list[float] = []

    async def sleep(duration: float) -> None:
        seconds.append(duration)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("3s", 3),
        ("0.2s", 0.2),
        ("1.5s", 1.5),
        ("0.000000001s", 1e-9),
        ("86400s", 86_400),
    ],
)
async def test_simulate_takes_as_long_as_its_label_says(
    slept: list[float], text: str, seconds: float
) -> None:
    await simulate(replace(ATTEMPT, labels={"processing_time": text}))
    assert slept == [pytest.approx(seconds)]


async def test_simulate_takes_no_time_without_label(slept: list[float]) -> None:
    await simulate(ATTEMPT)
    assert slept == [0]


@pytest.mark.parametrize(
    "text", ["", "s", "3", "fast", "1m", "1s ", "1.s.5s", "nans", "-1s", "-0.5s", "9" * 20 + "s"]
)
async def test_simulate_fails_an_order_whose_label_is_no_duration(
    slept: list[float], text: str
) -> None:
    with pytest.raises(Reject) as fault:
        await simulate(replace(ATTEMPT, labels={"processing_time": text}))
    assert fault.value.code == "HANDLER_ERROR"
    assert repr(text) in str(fault.value)
    assert slept == []


def test_the_default_handler_is_found() -> None:
    assert load("orderintake_server.handlers:simulate") is simulate


def test_a_handler_inside_a_class_is_found() -> None:
    found: object = load("orderintake_server.handlers:HandlerCalls.__call__")
    assert found is HandlerCalls.__call__


@pytest.mark.parametrize("path", ["", ":", "shop", "shop:", ":handler", "shop.handlers.place"])
def test_a_path_of_another_form_is_refused(path: str) -> None:
    with pytest.raises(StartupFailed, match=r"must have the form package\.module:callable"):
        load(path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no_such_package.handlers:place", "ModuleNotFoundError: No module named"),
        ("orderintake_server.handlers:nothing", "AttributeError: .* 'nothing'"),
        ("orderintake_server.handlers:simulate.nothing", "AttributeError: .* 'nothing'"),
        ("orderintake_server.handlers:__doc__", "is not callable"),
        ("..:x", "cannot be loaded: TypeError"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_telling_why(path: str, why: str) -> None:
    with pytest.raises(StartupFailed, match=why) as failed:
        load(path)
    assert repr(path) in str(failed.value)


def test_a_module_that_fails_is_refused_telling_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_shop.py").write_text("raise OSError('no price list')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StartupFailed, match="OSError: no price list"):
        load("failing_shop:place")
