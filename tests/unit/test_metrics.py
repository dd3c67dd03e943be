"""The table of metrics, and what is counted."""

import asyncio
from typing import Any

import pytest

from orderintake_server import errors
from orderintake_server.domain import Tier, WaitEstimate
from orderintake_server.http.monitoring.readings import OF_OTHERS, Facts, Observed, Readings
from orderintake_server.metrics import (
    CALL,
    SUBSCRIPTION,
    TABLE,
    WATCH,
    Attempts,
    Calls,
    Histogram,
    Kind,
    Limited,
    Meters,
    Promises,
)
from orderintake_server.metrics.meters import NAMED_CODES, STORE_ERRORS
from orderintake_server.metrics.table import PREFIX
from support.clocks import Seconds

NAMES = """
rpc_calls_total rpc_duration_seconds rpc_in_flight refusals_total authentication_failures_total
orders_accepted_total orders_replayed_total orders_completed_total orders oldest_waiting_seconds
tier_paused queue_limit wait_seconds service_seconds attempts_total quarantined_total
failures_total estimates_total workers workers_busy stuck_threads commit_seconds commit_changes
store_errors_total store_up store_bytes log_head subscribers subscriber_lag_completions
stream_ends_total loop_stall_seconds log_lines_dropped_total malformed_requests_total
remote_workers remote_slots_offered remote_calls_waiting remote_outcomes_total
remote_answers_lost_total remote_oldest_lease_seconds remote_deaths_total
tls_reloads_total access_reloads_total tls_certificate_expiry_timestamp_seconds build_info
"""
"""What dashboards and alerts everywhere are made of: a name that goes breaks them."""
LABELS = """
method code reason problem tier state outcome held kind file cause result
version python grpc store
"""
UNITS = ("_seconds", "_bytes", "_completions", "_total", "_info")
PLAIN = {
    *("orders", "tier_paused", "queue_limit", "workers", "workers_busy", "stuck_threads"),
    *("commit_changes", "store_up", "log_head", "subscribers", "rpc_in_flight"),
    *("remote_workers", "remote_slots_offered", "remote_calls_waiting"),
}
"""Numbers of things, which have no unit."""
WAIT = WaitEstimate(mean=10.0, least=5.0, most=20.0)


def test_the_table_has_the_names_that_dashboards_use_and_no_other() -> None:
    assert TABLE.keys() == set(NAMES.split())


@pytest.mark.parametrize("name", TABLE)
def test_every_metric_has_a_meaning_a_unit_and_labels_that_name_nobody(name: str) -> None:
    metric = TABLE[name]
    assert metric.help.endswith(".")
    assert name in PLAIN or name.endswith(UNITS)
    assert name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert bool(metric.bounds) is (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(metric.bounds)
    assert set(metric.labels) <= set(LABELS.split())
    assert PREFIX not in name


def observed(**given: Any) -> Observed:  # noqa: ANN401 - whatever it has
    """Give the parts of a service in which nothing has happened yet."""
    facts = Facts(workers=0, queue_limit=0, engine="sqlite", files={})
    plain: dict[str, Any] = dict.fromkeys(("stats", "store", "completions", "workers", "room"))
    return Observed(
        **{"meters": Meters(), "stuck_threads": lambda: 0, "facts": facts, **plain, **given}
    )


def test_every_metric_has_its_source() -> None:
    assert Readings(observed()).names == TABLE.keys()


def test_parts_may_give_sources_of_what_they_know() -> None:
    more = {name: lambda: {("ok",): 1.0} for name in OF_OTHERS}
    assert Readings(observed(more=more)).names == TABLE.keys()


def test_every_error_of_a_store_has_its_kind() -> None:
    def below(kind: type[errors.StoreError]) -> set[type[errors.StoreError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    assert below(errors.StoreError) - STORE_ERRORS.keys() == {
        errors.StoreError,  # no store raises these two themselves
        errors.StoreObstacle,
    }


def test_a_histogram_counts_a_value_in_the_bucket_that_ends_with_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99.0):
        histogram.add(value)
    assert histogram.cumulated() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 102.0


def test_a_copy_of_a_histogram_stays_as_it_is() -> None:
    histogram = Histogram((1.0,))
    copy = histogram.copy()
    histogram.add(0.5)
    assert copy.cumulated() == [("1.0", 0.0), ("+Inf", 0.0)]


def test_of_many_texts_only_the_first_have_a_name() -> None:
    limited = Limited(2)
    for text in ("a", "b", "c", "a", "d"):
        limited.add(text)
    assert limited.counts == {("a",): 2, ("b",): 1, ("_OTHER",): 2}


def test_a_handler_with_ten_thousand_codes_makes_no_more_series_than_it_may() -> None:
    attempts = Attempts()
    for number in range(10_000):
        attempts.fail(Tier.VIP, f"CODE_{number}", is_last=True)
    assert len(attempts.failures.counts) == NAMED_CODES + 1
    assert attempts.failures.counts[("_OTHER",)] == 10_000 - NAMED_CODES
    assert attempts.ended["vip", "failed"] == 10_000


# Calls


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncio.CancelledError(), "client"),
        (errors.Draining("stopping"), "draining"),
        (errors.SubscriberTooSlow("slow"), "too_slow"),
        (errors.Unauthenticated(errors.Problem.EXPIRED), "unauthenticated"),
        (errors.CursorExpired(earliest=1), "error"),
        (LookupError(), "error"),
    ],
)
def test_a_stream_ends_for_one_reason(error: BaseException, reason: str) -> None:
    calls = Calls()
    calls.of("stream", SUBSCRIPTION).failed(error)
    calls.of("watch", WATCH).failed(error)
    calls.of("call", CALL).failed(error)
    assert calls.ends[(reason,)] == calls.ends.total() == 1


def test_a_refusal_is_counted_by_its_reason_and_by_what_it_lacks() -> None:
    calls = Calls()
    expired = errors.Unauthenticated(errors.Problem.EXPIRED)
    calls.refused(errors.Reason.UNAUTHENTICATED, expired)
    calls.refused(errors.Reason.INTERNAL, LookupError())
    assert calls.refusals.total() == 2
    assert calls.authentication_failures == {("EXPIRED",): 1, ("MISSING",): 0, ("INVALID",): 0}


def test_transports_count_the_calls_of_a_method_together() -> None:
    calls = Calls()
    one, other = calls.of("call", CALL), calls.of("call", CALL)
    began = one.begin()
    assert other.in_flight == 1
    other.end(began, "OK")
    assert (one.in_flight, one.codes, sum(one.seconds.buckets if one.seconds else ())) == (
        *(0, {"OK": 1}),
        1,
    )


# Promises


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.mark.parametrize(
    ("seconds", "held"), [(4.9, "false"), (5.0, "true"), (20.0, "true"), (20.1, "false")]
)
def test_a_promise_holds_when_the_order_starts_within_it(
    clock: Seconds, seconds: float, held: str
) -> None:
    promises = Promises(clock=clock)
    promises.note(1, lambda: WAIT)
    clock.turn(seconds)
    promises.started(1)
    promises.started(1)
    assert promises.held[(held,)] == 1
    assert promises.held.total() == 1


def test_the_first_promise_counts(clock: Seconds) -> None:
    promises = Promises(clock=clock)
    promises.note(1, lambda: WAIT)
    promises.note(1, lambda: WaitEstimate(mean=0.0, least=0.0, most=0.0))
    clock.turn(10)
    promises.started(1)
    assert promises.held[("true",)] == 1


def test_what_starts_at_once_or_never_is_no_promise(clock: Seconds) -> None:
    promises = Promises(clock=clock)
    promises.note(1, lambda: WAIT)
    promises.cancelled(1)
    promises.has_free_worker = lambda: True
    promises.note(2, lambda: WAIT)
    for number in (1, 2, 3):
        promises.started(number)
    assert promises.held.total() == 0


def test_no_more_promises_are_remembered_than_may(clock: Seconds) -> None:
    promises = Promises(clock=clock, most=10)
    for number in range(10_000):
        promises.note(number, lambda: WAIT)
    assert len(promises) == 10
    promises.started(0)
    promises.note(20_000, lambda: WAIT)
    assert len(promises) == 10
    clock.turn(10)
    promises.started(20_000)
    assert promises.held[("true",)] == 1


def test_promises_of_orders_that_never_start_make_room(clock: Seconds) -> None:
    promises = Promises(clock=clock, most=10)
    for number in range(10):
        promises.note(number, lambda: WAIT)
    clock.turn(3600)
    promises.note(11, lambda: WAIT)
    clock.turn(10)
    promises.started(11)
    assert promises.held[("true",)] == 1
