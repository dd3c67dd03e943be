"""What hostile workers do to a server: each attack tries one thing as long as it may."""

import asyncio
import base64
import random
import struct
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_work_service_pb2 as work_api
from orderintake_server.domain import Tier
from orderintake_server.holders import LeaseKey
from orderintake_server.ids import Ids
from support.played_worker import PlayedWorker, WorkStub, failed, retried, returned, succeeded

CROWD = 1_000
REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""How a server may answer what should not be asked of it."""

SAYINGS = (succeeded, failed, returned, retried)
Attack = Callable[[WorkStub, random.Random], Awaitable[None]]


def _garbage(chance: random.Random, stolen: str) -> str:
    """Make a text that is no lease: any, or one that was good but for a letter."""
    if chance.random() < 0.5 or not stolen:
        letters = "abcXYZ019.-_:/ é\u202e\x00"
        return "".join(chance.choices(letters, k=chance.choice([0, 1, 20, 64, 5_000])))
    place = chance.randrange(len(stolen))
    return stolen[:place] + chance.choice("abcdefghij0123456789.-_") + stolen[place + 1 :]


async def _refused(call: Awaitable[object]) -> bool:
    """Make a call; tell whether it was refused. What else it may be told is a fault."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in REFUSED:
            raise
        return True
    return False


async def _steal(worker: PlayedWorker) -> str:
    answer = await worker.lease(1)
    return answer.orders[0].lease if answer.orders else ""


async def _garbage_leases(stub: WorkStub, chance: random.Random) -> None:
    """Say outcomes of leases that are none, beside one that is good."""
    worker = PlayedWorker(stub)
    stolen = await _steal(worker)
    for _ in range(20):
        forged = _garbage(chance, stolen)
        outcomes = [succeeded(each) for each in (stolen, forged) if each or not stolen]
        is_refused = await _refused(worker.lease(0, outcomes))
        assert is_refused or forged in {"", stolen}, f"{forged!r} was taken for a lease"
    if stolen:
        (said,) = (await worker.lease(0, [succeeded(stolen)])).outcomes
        assert said.result != work_api.OUTCOME_RESULT_UNSPECIFIED
    await worker.end()


async def _forged_leases(stub: WorkStub, chance: random.Random) -> None:
    """Say outcomes of leases that one made oneself, with the check that they need."""
    worker = PlayedWorker(stub)
    stolen = await _steal(worker)
    ids = Ids(_log_id(stolen)) if stolen else Ids("00000000")
    good = ids.lease_key(stolen) if stolen else LeaseKey(1, 1, Tier.VIP, 1, 0)
    for _ in range(20):
        name = chance.choice(good._fields)
        number = chance.choice([0, 1, 2, 1_000, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
        with suppress(ValueError, struct.error):  # which no text can say
            changed: dict[str, Any] = {name: Tier(number) if name == "tier" else number}
            forged = ids.lease(good._replace(**changed))
            await _refused(worker.lease(0, [chance.choice(SAYINGS)(forged)]))
    await worker.end()


def _log_id(lease: str) -> str:
    """Read of which store a lease is: it says so behind its first byte."""
    return base64.urlsafe_b64decode(lease + "=" * (-len(lease) % 4))[1:5].hex()


async def _parallel_repeats(stub: WorkStub, _: random.Random) -> None:
    """Repeat a call before its first is answered, many times at once."""
    worker = PlayedWorker(stub)
    request = worker.request(2)
    answers = await asyncio.gather(
        *(worker.ask(request) for _ in range(20)), return_exceptions=True
    )
    given = {
        tuple(order.lease for order in each.orders)
        for each in answers
        if isinstance(each, work_api.LeaseOrdersResponse) and each.orders
    }
    assert len(given) <= 1, f"a call was answered in {len(given)} ways"
    for leases in given:
        await _contradict(worker, leases[0])
    await worker.end()


async def _contradict(worker: PlayedWorker, lease: str) -> None:
    """Say of an attempt that it succeeded and that it failed, many times at once."""
    said = [succeeded(lease), failed(lease)] * 10
    answers = await asyncio.gather(*(worker.lease(0, [each]) for each in said))
    states = [
        each.state
        for answer in answers
        for each in answer.outcomes
        if each.result == work_api.OUTCOME_RESULT_RECORDED
    ]
    assert len(set(states)) <= 1, f"an attempt ended in {len(set(states))} ways"


async def _crowd(stub: WorkStub, _: random.Random) -> None:
    """Be a thousand workers, each of which waits for orders and gives back what it gets."""

    async def one() -> None:
        worker = PlayedWorker(stub)
        with suppress(grpc.aio.AioRpcError):
            await worker.lease(1, wait=0.1)
            await worker.end()

    await asyncio.gather(*(one() for _ in range(CROWD)))


async def _many_waiting(stub: WorkStub, _: random.Random) -> None:
    """Be one worker with more calls than it may have, and leave them all."""
    worker = PlayedWorker(stub)
    calls = [asyncio.ensure_future(_refused(worker.lease(1, wait=5))) for _ in range(200)]
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await _refused(worker.end())  # a connection takes only so many calls that were cut at once


async def _lying_slots(stub: WorkStub, chance: random.Random) -> None:
    """Offer slots that there are not, take what comes, and forget it."""
    worker = PlayedWorker(stub)
    for slots in (32, 33, -1, 2**31 - 1, 32):
        is_refused = await _refused(worker.lease(slots))
        assert is_refused == (not 0 <= slots <= 32)
    if chance.random() < 0.5:
        await worker.end()


async def _lying_inventory(stub: WorkStub, chance: random.Random) -> None:
    """Say that one has others' leases, none of one's own, and calls that never were."""
    worker, victim = PlayedWorker(stub), PlayedWorker(stub)
    stolen = await _steal(victim)
    held = [stolen] if stolen else []
    lies = work_api.Inventory(held=held * 100, last_call=2**62, open_calls=[-1, 0, 2**62])
    for inventory in (lies, work_api.Inventory(held=[_garbage(chance, "")] * 10_000)):
        request = work_api.KeepLeasesRequest(
            worker_id=worker.worker_id, capacity=10_000, stops_heard=held, inventory=inventory
        )
        with suppress(grpc.aio.AioRpcError):
            await stub.KeepLeases(request, timeout=0.3)
    if stolen:
        (said,) = (await victim.lease(0, [succeeded(stolen)])).outcomes
        assert said.result == work_api.OUTCOME_RESULT_RECORDED, "another's word took a lease away"
    await victim.end()


async def _bad_fields(stub: WorkStub, _: random.Random) -> None:
    """Send what no worker may."""
    me = uuid.uuid4().hex
    leases = [
        work_api.LeaseOrdersRequest(slots=1),
        work_api.LeaseOrdersRequest(worker_id="x" * 65, slots=1),
        work_api.LeaseOrdersRequest(worker_id="a\nb", slots=1),
        work_api.LeaseOrdersRequest(worker_id=me, call=-1, slots=1),
        work_api.LeaseOrdersRequest(worker_id=me, outcomes=[succeeded("x")] * 33),
        work_api.LeaseOrdersRequest(worker_id=me, wait=Duration(seconds=-1)),
    ]
    keeps = [
        work_api.KeepLeasesRequest(),
        work_api.KeepLeasesRequest(worker_id=me, name="x" * 129),
        work_api.KeepLeasesRequest(worker_id=me, capacity=-1),
        work_api.KeepLeasesRequest(worker_id=me, capacity=10_001),
    ]
    for request in leases:
        assert await _refused(stub.LeaseOrders(request, timeout=5)), request
    for keep in keeps:
        assert await _refused(stub.KeepLeases(keep, timeout=5)), keep
    assert await _refused(stub.EndWorker(work_api.EndWorkerRequest(), timeout=5))


async def _two_of_one_id(stub: WorkStub, _: random.Random) -> None:
    """Be two workers under one id, each of which ends the other's KeepLeases."""
    one = PlayedWorker(stub)

    async def keep_on() -> None:
        for _ in range(20):
            await _refused(one.keep())

    await asyncio.gather(keep_on(), keep_on(), keep_on())


async def _ended(stub: WorkStub, _: random.Random) -> None:
    """Ask for more after the end, and end again and again."""
    worker = PlayedWorker(stub)
    await worker.lease(0)
    await asyncio.gather(*(worker.end() for _ in range(20)))
    late = await asyncio.gather(*(worker.lease(8) for _ in range(20)))
    assert not any(answer.orders for answer in late), "one that had ended was given orders"


ATTACKS: dict[str, Attack] = {
    "garbage leases": _garbage_leases,
    "forged leases": _forged_leases,
    "parallel repeats": _parallel_repeats,
    "a crowd": _crowd,
    "many waiting calls": _many_waiting,
    "lying slots": _lying_slots,
    "lying inventory": _lying_inventory,
    "bad fields": _bad_fields,
    "two of one id": _two_of_one_id,
    "after the end": _ended,
}


async def attack(address: str, name: str, *, seconds: float, seed: int) -> int:
    """Try it again and again for so long; tell how often. Raises AssertionError for a fault."""
    chance, times = random.Random(seed), 0
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    own = [("grpc.use_local_subchannel_pool", 1)]  # or others in this process would share it
    async with grpc.aio.insecure_channel(address, own) as channel:
        while loop.time() < end:
            await ATTACKS[name](WorkStub(channel), chance)
            times += 1
    return times
