"""P14 in a real browser: its EventSource, with nothing around it, over stops and kills."""

import asyncio
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from selenium.webdriver import Chrome

from support.browser import browser, obstacle
from support.coming_back import Shop, place
from support.events import STREAM

ORDERS = 240
FOLLOW = f"""
    window.seen = []; window.told = [];
    const source = new EventSource("{STREAM}" + arguments[0]);
    source.onmessage = event => window.seen.push(JSON.parse(event.data).sequence);
    for (const name of ["open", "started", "caught_up", "going_away", "end"])
        source.addEventListener(name, () => window.told.push(name));
    window.source = source;
"""
WAIT = """
    const [count, done] = arguments;
    const look = () => window.seen.length >= count ? done() : setTimeout(look, 20);
    look();
"""


def wait(driver: Chrome, count: int) -> None:
    """Wait until the page was told of so many completions."""
    driver.execute_async_script(WAIT, count)


@pytest.mark.seconds
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
async def test_p14_a_browsers_event_source_gets_every_completion_once_over_restarts(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    try:
        with browser() as driver:
            await asyncio.to_thread(driver.get, f"http://127.0.0.1:{shop.http_port}/healthz")
            driver.execute_script(FOLLOW, "")
            placing = asyncio.create_task(place(shop.address, ORDERS))
            for count, number in ((20, SIGTERM), (100, SIGKILL), (180, SIGTERM)):
                await asyncio.to_thread(wait, driver, count)
                await shop.end(number)
                await shop.start()
            await placing
            await asyncio.to_thread(wait, driver, ORDERS)
            seen, told = driver.execute_script("return [window.seen, window.told]")
    finally:
        shop.kill()
    assert seen == [str(number + 1) for number in range(ORDERS)]
    assert told.count("open") == told.count("started") == 4
    assert told.count("going_away") == told.count("end") == 2
