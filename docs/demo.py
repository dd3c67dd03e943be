"""The service at work: regular orders pile up, VIP orders pass them, completions come in order.

Starts a server with two workers on free ports, on a store that is thrown away; its board is open as
long as the demo runs. `--stay` goes on until Ctrl-C.
"""

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orderintake import REGULAR, VIP, AsyncClient, Completion, Order, PlaceOrderResponse, Tier

ORDERS = 36
EVERY_SIXTH = 6
WORKERS = 2
PROCESSING = "0.3s"
PLACE_EVERY_SECONDS = 0.06
STAY_EVERY_SECONDS = 0.15
"""As fast as two workers process them, so that what waits then goes on waiting."""
MENU = ("tea", "cake", "soup", "bread", "figs")


class Board:
    """What happened so far, as lines that scroll above a line of counts."""

    def __init__(self, live: Live) -> None:
        """Show on `live`."""
        self._live = live
        self._open = {Tier.TIER_VIP: 0, Tier.TIER_REGULAR: 0}
        self.waits: dict[int, list[float]] = {Tier.TIER_VIP: [], Tier.TIER_REGULAR: []}
        self.sequences: list[int] = []

    def placed(self, receipt: PlaceOrderResponse) -> None:
        """Show an order that was accepted."""
        self._open[receipt.order.tier] += 1
        self._show("placed   ", receipt.order, "")

    def completed(self, completion: Completion) -> None:
        """Show an order that was processed."""
        order = completion.order
        waited = order.start_time.ToNanoseconds() - order.accept_time.ToNanoseconds()
        self._open[order.tier] -= 1
        self.waits[order.tier].append(waited / 1e9)
        self.sequences.append(completion.sequence)
        self._show("completed", order, f"no. {completion.sequence:>2}, waited {waited / 1e9:.1f} s")

    def _show(self, what: str, order: Order, rest: str) -> None:
        is_vip = order.tier == VIP
        tier = "VIP    " if is_vip else "regular"
        line = f"{what}  {tier}  #{order.accept_sequence:<3} {order.lines[0].sku:6} {rest}"
        style = ("bold " if is_vip else "") + ("yellow" if is_vip else "cyan")
        self._live.console.print(Text(line, style=style if rest else f"{style} dim"))
        vip, regular = self._open.values()
        self._live.update(Text(f"not yet completed: {vip} VIP, {regular} regular", style="reverse"))


class Served(NamedTuple):
    """Where a server is reached."""

    address: str
    """By gRPC."""
    board: str
    """By a browser."""


@asynccontextmanager
async def server(data: str, *more: str, cwd: Path | None = None) -> AsyncIterator[Served]:
    """Run a server process, with `more` arguments; tell where it is."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("orderintake-server")), "--data", data),
        *("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"),
        *("--workers", str(WORKERS), "--log-format", "json", *more),
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        start_new_session=True,  # Ctrl-C is for us
    )
    assert process.stderr is not None
    told: dict[str, str] = {}
    try:
        async for line in process.stderr:
            told |= json.loads(line)
            if told["event"] == "listening":
                yield Served(told["address"], told["board"])
                break
    finally:
        process.terminate()
        await process.communicate()


async def place(client: AsyncClient, board: Board, *, stay: bool = False) -> None:
    """Place orders faster than two workers can process them, every sixth of them a VIP's."""
    menu = random.Random(1)
    for number in count(1) if stay else range(1, ORDERS + 1):
        receipt = await client.place(
            customer_id=f"customer-{number}",
            lines={menu.choice(MENU): 1},
            tier=VIP if number % EVERY_SIXTH == 0 else REGULAR,
            labels={"processing_time": PROCESSING},
        )
        board.placed(receipt)
        await asyncio.sleep(PLACE_EVERY_SECONDS if number < ORDERS else STAY_EVERY_SECONDS)


async def watch(client: AsyncClient, board: Board, *, stay: bool = False) -> None:
    """Show completions as they happen, until every order is done."""
    async with client.completions() as completions:
        async for completion in completions:
            board.completed(completion)
            if len(board.sequences) == ORDERS and not stay:
                return


async def show(console: Console, *, stay: bool) -> Board:
    """Run the scenario; give what happened."""
    with tempfile.TemporaryDirectory() as data, Live(console=console, transient=True) as live:
        board = Board(live)
        async with (
            server(data) as served,
            AsyncClient(served.address) as client,
            asyncio.TaskGroup() as tasks,
        ):
            end = "until Ctrl-C" if stay else "as long as this runs; ARGS=--stay goes on"
            console.print(f"The board: {served.board} ({end})\n", soft_wrap=True)
            tasks.create_task(watch(client, board, stay=stay), name="watch")
            tasks.create_task(place(client, board, stay=stay), name="place")
    return board


async def main() -> None:
    """Run the scenario and sum it up."""
    console = Console(highlight=False)
    board = await show(console, stay="--stay" in sys.argv[1:])
    vip, regular = (sum(waits) / len(waits) for waits in board.waits.values())
    in_order = board.sequences == list(range(1, ORDERS + 1))
    console.print(
        f"\n{ORDERS} orders by {WORKERS} workers: VIP orders waited {vip:.1f} s on average, "
        f"regular ones {regular:.1f} s.\nCompletions came in order, none missing: {in_order}."
    )
    if not in_order or vip >= regular:
        raise SystemExit("this is not how it should have gone")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
