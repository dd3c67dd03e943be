"""P14 in a real browser: its EventSource, with nothing around it, over stops and kills."""

import asyncio
from collections import Counter
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from selenium.webdriver import Chrome

from support.browser import browser, obstacle
from support.coming_back import Shop, place
from support.events import STREAM, events

ENDS = (SIGTERM, SIGKILL, SIGTERM)
A_TURN = 40
"""Orders placed around each end of the server, which comes among them."""
ORDERS = A_TURN * len(ENDS)
FOLLOW = f"""
    window.seen = []; window.told = [];
    const source = new EventSource("{STREAM}" + arguments[0]);
    source.onmessage = event => window.seen.push(JSON.parse(event.data).sequence);
    for (const name of ["open", "started", "caught_up", "going_away", "end"])
        source.addEventListener(name, event => window.told.push([name, event.lastEventId]));
    window.source = source;
"""
FETCHING = Path(__file__).parents[2] / "docs" / "browser" / "completions.mjs"
FOLLOW_BY_FETCH = f"""
    window.seen = []; window.refused = [];
    const source = URL.createObjectURL(new Blob([arguments[0]], {{type: "text/javascript"}}));
    const follow = async (query, options) => {{
        const {{ completions }} = await import(source);
        try {{
            for await (const {{ completion }} of completions("{STREAM}" + query, options))
                window.seen.push(completion.sequence);
        }} catch (error) {{
            window.refused.push(error.code);
        }}
    }};
    follow("", {{}});
    follow("", {{ cursor: "none of ours" }});
"""
WAIT = """
    const [list, count, done] = arguments;
    const look = () => window[list].length >= count ? done() : setTimeout(look, 20);
    look();
"""


async def wait(driver: Chrome, what: str, count: int) -> None:
    """Wait until the page has `seen` so many completions, or was `told` so many other events."""
    await asyncio.to_thread(driver.execute_async_script, WAIT, what, count)


async def place_over_restarts(shop: Shop, driver: Chrome) -> None:
    """End the server again and again while orders are placed; wait until the page has all."""
    for turn, number in enumerate(ENDS):
        first = turn * A_TURN
        placing = asyncio.create_task(place(shop.address, A_TURN, first=first))
        await wait(driver, "seen", first + A_TURN // 4)
        await shop.end(number)
        await shop.start()
        await placing
        await wait(driver, "seen", first + A_TURN)


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
            await place_over_restarts(shop, driver)
            seen, told = driver.execute_script("return [window.seen, window.told]")
    finally:
        shop.kill()
    assert seen == [str(number + 1) for number in range(ORDERS)]
    counts = Counter(name for name, _ in told)
    assert counts["open"] == counts["started"] >= 1 + len(ENDS)
    assert counts["going_away"] == counts["end"] >= 2


@pytest.mark.seconds
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
async def test_what_a_filter_left_out_is_behind_a_browser_that_comes_back(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    try:
        with browser() as driver:
            await asyncio.to_thread(driver.get, f"http://127.0.0.1:{shop.http_port}/healthz")
            driver.execute_script(FOLLOW, "?customerId=eve&heartbeatInterval=1s")
            await wait(driver, "told", 3)
            async with events(shop.http_port, customerId="eve", heartbeatInterval="1s") as beside:
                began = (await beside.named("caught_up")).last_id
                await place(shop.address, 4)
                while (cursor := await beside.heartbeat()) == began:
                    pass
                await beside.heartbeat()  # by now the browser got the one before
            shop.kill()
            await shop.start()
            await wait(driver, "told", 6)
            seen, told = driver.execute_script("return [window.seen, window.told]")
    finally:
        shop.kill()
    assert seen == []
    assert told[-2:] == [["started", cursor], ["caught_up", cursor]]


@pytest.mark.seconds
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
async def test_p14_the_way_by_fetch_that_the_page_tells_gets_every_completion_once(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    try:
        with browser() as driver:
            await asyncio.to_thread(driver.get, f"http://127.0.0.1:{shop.http_port}/healthz")
            driver.execute_script(FOLLOW_BY_FETCH, FETCHING.read_text())
            await place_over_restarts(shop, driver)
            seen, refused = driver.execute_script("return [window.seen, window.refused]")
    finally:
        shop.kill()
    assert seen == [str(number + 1) for number in range(ORDERS)]
    assert refused == ["invalid_argument"]
