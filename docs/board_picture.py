"""Takes docs/board-light.png and docs/board-dark.png: the board of the demo's server, under load.

.venv/bin/python docs/board_picture.py [FOLDER]

It needs Chromium and its driver. Nothing is made up: regular orders come faster than eight workers
can process them, VIP orders pass them, and the kitchen fails some for good.
"""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from orderintake import REGULAR, VIP, AsyncClient, Tier
from orderintake.requests import NewOrder
from orderintake.work import Reject
from orderintake_server.handlers import OrderAttempt

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import demo  # noqa: E402

from support.board_page import BoardPage  # noqa: E402
from support.browser import browser  # noqa: E402

CUSTOMERS = ("ada", "grace", "alan", "edsger", "barbara", "katherine", "linus", "margaret", "radia")
WAITING = 1_300
WORKERS = "8"
SECONDS = 120
"""So long it takes at most until what is told of the last minute has only seen the steady load."""
STANDING = "[...document.querySelectorAll('.lane.v .o')].map(o => getComputedStyle(o).opacity)"
ARRIVING = "document.querySelector('.fact.reg dd').innerText"
EVERY_SECONDS = 0.15
VIP_SHARE = 0.05
"""Of regular orders, that some VIP orders come after."""
FAILS = 0.05
SIZE = (1240, 1250)
KITCHEN = random.Random(1)


async def prepare(order: OrderAttempt) -> None:
    """Take a while; fail some orders for good."""
    await asyncio.sleep(KITCHEN.uniform(0.5, 2.5))
    if KITCHEN.random() < FAILS:
        raise Reject("OUT_OF_STOCK", f"no {order.lines[0].sku} left")
    if KITCHEN.random() < FAILS / 2:
        raise Reject("PAYMENT_DECLINED", "the card was declined")


def order(chance: random.Random, tier: Tier.ValueType = REGULAR) -> NewOrder:
    """Make one up, as a shop gets them."""
    lines = {chance.choice(demo.MENU): chance.randint(1, 4)}
    return NewOrder(customer_id=chance.choice(CUSTOMERS), lines=lines, tier=tier)


async def place(client: AsyncClient) -> None:
    """Let many orders wait, and place more and more."""
    chance = random.Random(2)
    async with client.placing() as placing:
        for _ in range(WAITING):
            await placing.place(**order(chance))
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await client.place(**order(chance))
        if chance.random() < VIP_SHARE:
            await client.place_batch([order(chance, VIP) for _ in range(chance.randint(4, 7))])


def take(url: str, folder: Path) -> None:
    """Look at the board for a while, and take its picture in both themes."""
    with browser() as driver:
        page = BoardPage(driver, int(url.rstrip("/").rpartition(":")[2]))
        page.looks(size=SIZE)
        page.open()
        page.until_text("in the last minute", seconds=SECONDS)
        page.until(f"parseFloat({ARRIVING}) < {1.3 / EVERY_SECONDS}", seconds=SECONDS)
        page.until(f"{STANDING}.length > 2 && {STANDING}.every(at => at === '1')", seconds=SECONDS)
        for theme in ("light", "dark"):
            page.looks(size=SIZE, theme=theme)
            driver.save_screenshot(str(folder / f"board-{theme}.png"))


async def main() -> None:
    """Run a server and its load; take the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    with tempfile.TemporaryDirectory() as data:
        handler = ("--handler", "board_picture:prepare", "--max-attempts", "1")
        async with (
            demo.server(data, *handler, "--workers", WORKERS, cwd=HERE) as served,
            AsyncClient(served.address) as client,
            asyncio.TaskGroup() as tasks,
        ):
            placing = tasks.create_task(place(client), name="place")
            await asyncio.to_thread(take, served.board, folder)
            placing.cancel()


if __name__ == "__main__":
    asyncio.run(main())
