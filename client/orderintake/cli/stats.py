"""How the queue stands, shown once or as it changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from orderintake.cli.text import tier_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake.cli.screen import Screen
    from orderintake.sync import Client
    from orderintake.v1.order_admin_service_pb2 import GetQueueStatsResponse, TierStats

_COLUMNS = ("queued", "scheduled", "processing", "oldest", "accepted/s", "ended/s")


def stats_table(stats: GetQueueStatsResponse) -> Table:
    """Return a row for each tier."""
    caption = (
        f"{stats.workers} workers, {stats.head_sequence} completions,"
        f" {stats.subscribers} subscribers\n"
        f"{stats.stuck_attempts} stuck attempts, {stats.loop_stalls} stalls of the event loop"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), caption=caption, caption_justify="left")
    table.add_column("tier")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column()
    for tier in stats.tiers:
        table.add_row(*_row(tier))
    return table


def _row(tier: TierStats) -> Iterator[Text]:
    yield tier_text(tier.tier)
    for count in (tier.queued, tier.scheduled, tier.processing):
        yield Text(str(count))
    age = tier.oldest_waiting_age
    has_age = tier.HasField("oldest_waiting_age")
    yield Text(f"{age.seconds + age.nanos / 1e9:.1f} s" if has_age else "")
    for rate in (tier.accept_rate, tier.completion_rate):
        yield Text(f"{rate:.1f}")
    yield Text("paused" if tier.paused else "", style="bold red")


def follow(client: Client, screen: Screen, *, period_seconds: float = 1.0) -> None:
    """Show how the queue stands, anew after each period, until interrupted.

    A terminal shows one table that changes; a file or a pipe gets one after another.

    Raises:
        OrderIntakeError: the service did not answer the question.
    """
    looks = _each_period(client, period_seconds)
    if screen.as_json or not screen.out.is_terminal:
        for stats in looks:
            screen.show(stats, stats_table)
    else:
        _redraw(looks, screen)


def _redraw(looks: Iterator[GetQueueStatsResponse], screen: Screen) -> None:
    with Live(
        console=screen.out, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        for stats in looks:
            live.update(stats_table(stats), refresh=True)


def _each_period(client: Client, period_seconds: float) -> Iterator[GetQueueStatsResponse]:
    while True:
        yield client.queue_stats()
        time.sleep(period_seconds)
