"""W13: what workers say, read: a bad call is refused, a bad outcome is its own order's failure."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake.work.outcome import MESSAGE_CHARACTERS, RESULT_BYTES, Kind, Outcome
from orderintake_server.api.work import requests
from orderintake_server.domain import Tier
from orderintake_server.errors import InvalidOrder, LeaseInvalid
from orderintake_server.holders import Holder, LeaseKey
from orderintake_server.ids import Ids
from orderintake_server.work.words import Inventory

IDS = Ids("0123abcd")
KEY = LeaseKey(7, 9, Tier.VIP, 2, 1)
LEASE = IDS.lease(KEY)
ME = "me-7f3a"


def asked(**fields: object) -> work.LeaseOrdersRequest:
    """Make a good request, but for these fields."""
    said: dict[str, object] = {"worker_id": ME, "slots": 1} | fields
    return work.LeaseOrdersRequest(**said)  # type: ignore[arg-type]


def outcome(**said: object) -> Outcome | None:
    """Read what a worker says of one attempt."""
    told = work.Outcome(lease=LEASE, **said)  # type: ignore[arg-type]
    (report,) = requests.lease(asked(outcomes=[told]), IDS, None).reports
    assert report.key == KEY
    return report.outcome


def test_a_call_is_read() -> None:
    read = requests.lease(asked(call=4, slots=32, wait=Duration(nanos=500_000_000)), IDS, None)
    assert (read.holder, read.slots, read.wait) == (Holder(ME, 4), 32, 0.5)


def test_a_call_tells_who_makes_it() -> None:
    holder = requests.lease(asked(name="host:7", capacity=4), IDS, None).holder
    assert (holder.name, holder.capacity) == ("host:7", 4)
    silent = requests.lease(asked(), IDS, None).holder
    assert (silent.name, silent.capacity) == (None, None)
    for said in ({"name": "x" * 129}, {"capacity": -1}, {"capacity": 10_001}):
        with pytest.raises(InvalidOrder) as refused:
            requests.lease(asked(**said), IDS, None)
        assert [each.field for each in refused.value.violations] == list(said)


@pytest.mark.parametrize(
    ("wait", "left", "seconds"),
    [
        (None, None, 10.0),
        (0, None, 0.0),
        (20, None, 20.0),
        (3600, None, 20.0),
        (None, 5.0, 4.0),
        (2, 5.0, 2.0),
        (None, 0.5, 0.0),
    ],
)
def test_a_call_is_answered_before_its_deadline(
    wait: int | None, left: float | None, seconds: float
) -> None:
    request = asked() if wait is None else asked(wait=Duration(seconds=wait))
    assert requests.lease(request, IDS, left).wait == seconds


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"worker_id": ""}, "worker_id"),
        ({"worker_id": "x" * 65}, "worker_id"),
        ({"worker_id": "a\nb"}, "worker_id"),
        ({"call": -1}, "call"),
        ({"slots": -1}, "slots"),
        ({"slots": 33}, "slots"),
        ({"outcomes": [work.Outcome(lease=LEASE)] * 33}, "outcomes"),
        ({"wait": Duration(seconds=-1)}, "wait"),
        ({"wait": Duration(nanos=-1)}, "wait"),
    ],
)
def test_a_bad_field_of_a_call_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidOrder) as refused:
        requests.lease(asked(**fields), IDS, None)
    assert [bad.field for bad in refused.value.violations] == [named]


@pytest.mark.parametrize("lease", ["", "x", LEASE[:-1], LEASE + "A", Ids("0123abce").lease(KEY)])
def test_a_text_that_is_no_lease_is_refused(lease: str) -> None:
    with pytest.raises(LeaseInvalid):
        requests.lease(asked(outcomes=[work.Outcome(lease=lease)]), IDS, None)
    held = work.Inventory(held=[lease])
    with pytest.raises(LeaseInvalid):
        requests.keep(work.KeepLeasesRequest(worker_id=ME, inventory=held), IDS, None, wait=1)
    heard = work.KeepLeasesRequest(worker_id=ME, stops_heard=[lease])
    with pytest.raises(LeaseInvalid):
        requests.keep(heard, IDS, None, wait=1)


def test_outcomes_are_read_as_what_a_handler_does_in_process() -> None:
    result = Any(type_url="type.googleapis.com/shop.Done", value=b"7")
    done = Outcome(kind=Kind.SUCCEEDED, result=result.SerializeToString())
    assert outcome(succeeded=work.Succeeded(result=result)) == done
    assert outcome(succeeded=work.Succeeded()) == Outcome(kind=Kind.SUCCEEDED)
    why = order_pb2.Failure(code="OVEN_COLD", message="it is cold")
    said = {"code": "OVEN_COLD", "message": "it is cold"}
    assert outcome(failed=why) == Outcome(kind=Kind.FAILED, **said)  # type: ignore[arg-type]
    assert outcome(rejected=why) == Outcome(kind=Kind.REJECTED, **said)  # type: ignore[arg-type]
    later = work.Retry(after=Duration(seconds=3), failure=why)
    assert outcome(retry=later) == Outcome(kind=Kind.RETRY, after=3.0, **said)  # type: ignore[arg-type]
    assert outcome(returned=work.Returned()) is outcome() is None


def test_w13_a_result_that_is_too_large_is_its_orders_failure() -> None:
    large = Any(type_url="x", value=b"x" * RESULT_BYTES)
    found = outcome(succeeded=work.Succeeded(result=large))
    assert found is not None
    assert (found.kind, found.code, found.result) == (Kind.REJECTED, "RESULT_INVALID", None)


def test_w13_a_code_and_a_text_are_made_to_fit() -> None:
    found = outcome(failed=order_pb2.Failure(code="A\tB" + "C" * 100, message="x" * 5000))
    assert found is not None
    assert (found.code, len(found.message)) == ("A?B" + "C" * 61, MESSAGE_CHARACTERS)
    assert outcome(failed=order_pb2.Failure()) == Outcome(kind=Kind.FAILED, code="HANDLER_ERROR")


@pytest.mark.parametrize(("seconds", "nanos"), [(0, -1), (-1, 0), (0, 10**9), (3_155_760_001, 0)])
def test_w13_a_retry_without_a_good_time_is_as_after_a_failure(seconds: int, nanos: int) -> None:
    assert outcome(retry=work.Retry()) == Outcome(kind=Kind.RETRY, code="HANDLER_ERROR")
    found = outcome(retry=work.Retry(after=Duration(seconds=seconds, nanos=nanos)))
    assert found is not None
    assert (found.kind, found.after) == (Kind.RETRY, None)


def test_what_a_worker_keeps_is_read() -> None:
    inventory = work.Inventory(held=[LEASE], last_call=8, open_calls=[7, 8])
    request = work.KeepLeasesRequest(
        worker_id=ME, name="kitchen:7", capacity=16, stopping=True,
        inventory=inventory, stops_heard=[LEASE],
    )  # fmt: skip
    read = requests.keep(request, IDS, 6.0, wait=10.0)
    assert (read.worker_id, read.name, read.capacity, read.is_stopping) == (
        ME,
        "kitchen:7",
        16,
        True,
    )
    assert read.inventory == Inventory(held=[KEY], last_call=8, open_calls=frozenset({7, 8}))
    assert (read.stops_heard, read.wait) == ([KEY], 5.0)
    bare = requests.keep(work.KeepLeasesRequest(worker_id=ME), IDS, None, wait=10.0)
    assert (bare.inventory, bare.wait) == (None, 10.0)
    assert (bare.name, bare.capacity) == (None, None)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"worker_id": ""}, "worker_id"),
        ({"name": "x" * 129}, "name"),
        ({"capacity": -1}, "capacity"),
        ({"capacity": 10_001}, "capacity"),
        ({"inventory": work.Inventory(last_call=-1)}, "inventory.last_call"),
        ({"inventory": work.Inventory(open_calls=range(10_001))}, "inventory"),
    ],
)
def test_a_bad_field_of_what_it_keeps_is_named(fields: dict[str, object], named: str) -> None:
    said: dict[str, object] = {"worker_id": ME} | fields
    with pytest.raises(InvalidOrder) as refused:
        requests.keep(work.KeepLeasesRequest(**said), IDS, None, wait=1)  # type: ignore[arg-type]
    assert [bad.field for bad in refused.value.violations] == [named]


def test_who_ends_is_named() -> None:
    assert requests.worker_id(work.EndWorkerRequest(worker_id=ME)) == ME
    with pytest.raises(InvalidOrder):
        requests.worker_id(work.EndWorkerRequest())
