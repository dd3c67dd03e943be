"""What is told of many orders, of servers, workers and subscribers, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from orderintake.cli.text import failure_text, order_text, printable, tier_text, time_text
from orderintake.v1.order_admin_service_pb2 import Transport, WorkerKind
from orderintake.v1.order_intake_service_pb2 import Durability

if TYPE_CHECKING:
    from orderintake.v1.order_admin_service_pb2 import (
        CancelOrdersResponse,
        FailedOrder,
        ListFailuresResponse,
        ListServersResponse,
        ListSubscribersResponse,
        ListWorkersResponse,
        RedriveOrdersResponse,
        Server,
        StoreHealth,
        Subscriber,
        Worker,
    )

_MEGABYTE = 1_000_000


def failed_text(failed: FailedOrder) -> Text:
    """Return one line: when an order failed, what it is, why, and what redrove it."""
    completion = failed.completion
    text = Text(f"{time_text(completion.order.complete_time)}  ", style="dim")
    text.append_text(order_text(completion.order)).append("  ")
    text.append_text(failure_text(completion))
    return text.append(f"  as {printable(failed.copy_order_id)}" if failed.copy_order_id else "")


def counts_text(page: ListFailuresResponse) -> Text:
    """Return one line: how many failures match, by code."""
    total = sum(each.count for each in page.counts)
    least = "at least " if page.counts_are_partial else ""
    codes = ", ".join(f"{each.count} {printable(each.code)}" for each in page.counts)
    return Text(f"{least}{total} failed" + (f": {codes}" if codes else ""), style="bold")


def redriven_many_text(response: RedriveOrdersResponse) -> Text:
    """Return one line: how many orders a call redrove."""
    return _moved("redriven", response.redriven, is_replayed=response.replayed)


def cancelled_many_text(response: CancelOrdersResponse) -> Text:
    """Return one line: how many orders a call cancelled."""
    return _moved("cancelled", response.cancelled, is_replayed=response.replayed)


def _moved(done: str, count: int, *, is_replayed: bool) -> Text:
    word = "replayed" if is_replayed else done
    return Text(f"{word}  ", style="green").append(f"{count} {_plural('order', count)}")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def servers_text(response: ListServersResponse) -> Text:
    """Return a line for each server, and one about the store."""
    lines = [*map(_server_text, response.servers), _store_text(response.store)]
    return Text("\n").join(lines)


def _server_text(server: Server) -> Text:
    text = Text(f"{printable(server.name)}  {server.workers} workers, {server.busy} busy")
    if server.HasField("subscribers"):
        text.append(f", {server.subscribers} subscribers")
    text.append(f"  last heard {time_text(server.heartbeat_time)}", style="dim")
    if not server.alive:
        return text.append("  dead or frozen", style="bold red")
    return text.append("  answers" if server.answering else "", style="green")


def _store_text(store: StoreHealth) -> Text:
    if not store.reachable:
        return Text("the store cannot be reached", style="bold red")
    known = store.durability in Durability.values()
    durability = Durability.Name(store.durability) if known else str(store.durability)
    text = Text(f"{printable(store.engine)}, {durability.removeprefix('DURABILITY_').lower()}")
    text.append(f", {store.size_bytes / _MEGABYTE:.1f} MB")
    if store.HasField("commit_time_p50"):
        half, most = store.commit_time_p50.ToMicroseconds(), store.commit_time_p99.ToMicroseconds()
        text.append(f", commits within {half / 1000:.1f} ms, 99 of 100 within {most / 1000:.1f} ms")
    return text


def workers_text(response: ListWorkersResponse) -> Text:
    """Return a line for each worker, with the order that it has had for longest, and a total."""
    shown = len(response.workers)
    more = f", {shown} of them shown" if shown < response.total else ""
    total = Text(f"{response.total} {_plural('worker', response.total)}{more}", style="bold")
    return Text("\n").join([*map(_worker_text, response.workers), total])


def _worker_text(worker: Worker) -> Text:
    known = worker.kind in WorkerKind.values()
    kind = WorkerKind.Name(worker.kind) if known else str(worker.kind)
    text = Text(printable(worker.name) or printable(worker.worker_id))
    text.append(f"  {kind.removeprefix('WORKER_KIND_').lower().replace('_', ' ')}")
    text.append(f"  {worker.capacity} {_plural('slot', worker.capacity)}, {worker.busy} busy")
    if worker.attempts:
        oldest = worker.attempts[0]
        since = time_text(oldest.start_time)
        text.append(f"  {printable(oldest.order_id)} since {since}", style="dim")
    if worker.HasField("heartbeat_time"):
        text.append(f"  last heard {time_text(worker.heartbeat_time)}", style="dim")
    return text.append("  stops" if worker.stopping else "", style="yellow")


def subscribers_text(response: ListSubscribersResponse) -> Text:
    """Return a line for each completion stream, and how many there are."""
    shown = len(response.subscribers)
    more = f", {shown} of them shown" if shown < response.total else ""
    total = Text(f"{response.total} completion streams at this server{more}", style="bold")
    return Text("\n").join([*map(_subscriber_text, response.subscribers), total])


def _subscriber_text(subscriber: Subscriber) -> Text:
    known = subscriber.transport in Transport.values()
    transport = Transport.Name(subscriber.transport) if known else str(subscriber.transport)
    text = Text(f"{subscriber.lag:>7} behind, at {subscriber.sequence}  ")
    text.append(printable(subscriber.customer_id) or "everybody")
    if subscriber.tier:
        text.append(" ").append_text(tier_text(subscriber.tier))
    text.append(f"  by {printable(subscriber.caller)}  {printable(subscriber.peer)}")
    text.append(f"  {transport.removeprefix('TRANSPORT_').lower()}")
    return text.append(f"  since {time_text(subscriber.start_time)}", style="dim")
