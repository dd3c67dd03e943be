"""The board in Chromium: VIP passes, a kill leaves no gap, and what can be done on it is done."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from orderintake import REGULAR, VIP, Client, OrderIntakeError
from orderintake.v1 import order_pb2
from support.board_page import HTTP, BoardPage, board_browser, board_of, curl, picture, told
from support.http_port import http_port
from support.process import ServerProcess, server_process
from support.program import free_port

pytestmark = [pytest.mark.seconds, pytest.mark.timeout(120)]

TAKES = {"processing_time": "0.3s"}
OVERHEAR = (
    "window.redrives = []; const fetched = window.fetch; window.fetch = (where, options) => {"
    " if (where.endsWith('/RedriveOrders')) redrives.push(JSON.parse(options.body).filter);"
    " return fetched(where, options) }"
)
"""Keeps what the page asks to be placed again."""
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with board_browser() as driver:
        yield driver


@contextmanager
def shown(driver: Chrome, data: Path, *arguments: str) -> Iterator[tuple[ServerProcess, BoardPage]]:
    """Give a server's board as `board_of` does; its console stays empty."""
    with board_of(driver, data, *arguments) as (server, page):
        yield server, page
        assert page.console() == []


def place(
    server: ServerProcess, count: int, *, vip: bool = False, sku: str = "tea", customer: str = "ada"
) -> list[str]:
    """Place so many orders that take a while; give their ids."""
    with Client(server.address) as client:
        tier = VIP if vip else REGULAR
        receipts = [
            client.place(customer_id=customer, lines={sku: 1}, labels=TAKES, tier=tier)
            for _ in range(count)
        ]
    return [receipt.order.order_id for receipt in receipts]


def test_the_articles_scenario_by_http_alone(driver: Chrome, tmp_path: Path) -> None:
    def ordered(name: str, tier: str, takes: str = "0.3s") -> int:
        lines = [{"sku": "tea", "quantity": 1}]
        labels = {"processing_time": takes}
        request = {"customerId": name, "tier": tier, "lines": lines, "labels": labels}
        return int(curl(page.port, "PlaceOrder", request)["order"]["acceptSequence"])

    with shown(driver, tmp_path / "data", "--workers", "1") as (_, page):
        page.open()
        page.follows()
        with told(page.port) as completions:
            regular = [ordered(name, "TIER_REGULAR") for name in ("ada", "ken", "linus", "tony")]
            vip = [ordered(name, "TIER_VIP") for name in ("grace", "radia")]
            ended = [next(completions) for _ in range(6)]
        page.until("document.querySelectorAll('tr[data-sequence]').length === 6")
        page.until_text("2 VIP orders went ahead of waiting regular ones")
        drawn = picture(page, tmp_path / "board.png")
    began = [regular[0], *vip, *regular[1:]]
    assert [int(each["order"]["acceptSequence"]) for each in ended] == began
    assert [int(each["sequence"]) for each in ended] == [1, 2, 3, 4, 5, 6]
    tiers = ["Regular", "VIP", "VIP", "Regular", "Regular", "Regular"]
    assert page.completed() == list(enumerate(tiers, 1))
    assert drawn.startswith(PNG)


def test_p14_a_kill_leaves_no_gap_on_the_page(driver: Chrome, tmp_path: Path) -> None:
    port = free_port()
    where = ("--http", f"127.0.0.1:{port}", "--workers", "1")
    page = BoardPage(driver, port)
    page.begins()
    with server_process(tmp_path, *where) as server:
        page.open()
        page.follows()
        place(server, 4)
        page.until("document.querySelector('tr[data-sequence=\"1\"]')")
        server.signal(SIGKILL)
        page.until_text("The server does not answer.")
        page.until_text("You see how it stood at")
        assert page.ask("document.querySelector('[data-sequence]').isConnected")
    with server_process(tmp_path, *where) as server:
        page.until("document.querySelector('tr[data-sequence=\"4\"]')")
        place(server, 1)
        page.until("document.querySelector('tr[data-sequence=\"5\"]')")
        page.until("!document.body.classList.contains('off')")
        assert "does not answer" not in page.text
    assert [number for number, _ in page.completed()] == [1, 2, 3, 4, 5]
    assert all("ERR_" in said or "503" in said for said in page.console())  # while it was away


def test_p19_a_server_that_stops_says_so_on_the_page(driver: Chrome, tmp_path: Path) -> None:
    with server_process(tmp_path, *HTTP, "--workers", "1") as server:
        page = BoardPage(driver, http_port(server))
        page.begins()
        page.open()
        page.follows()
        with Client(server.address) as client:
            client.place(customer_id="ada", lines={"tea": 1}, labels={"processing_time": "3s"})
        page.until_text("1 of 1 workers busy")
        server.signal(SIGTERM)
        page.until_text("The server is stopping.")
        assert server.exit_code() == 0
        page.until("document.body.classList.contains('off')")


def test_a_store_that_is_away_is_told_until_it_is_back(driver: Chrome, tmp_path: Path) -> None:
    with shown(driver, tmp_path) as (server, page):
        page.open()
        with closing(sqlite3.connect(tmp_path / "orders.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with Client(server.address, timeout=3) as client, pytest.raises(OrderIntakeError):
                client.place(customer_id="ada", lines={"tea": 1})
            page.until_text("The store is away.")
            other.execute("ROLLBACK")
        page.until("!document.body.innerText.includes('The store is away.')")
        page.console()  # answers of 503 are told there


def test_a_hidden_tab_frees_its_stream_and_comes_back_without_a_gap(
    driver: Chrome, tmp_path: Path
) -> None:
    def until_streams(count: int) -> None:
        while curl(page.port, "GetQueueStats", {}).get("subscribers", 0) != count:
            pass

    with shown(driver, tmp_path) as (server, page):
        page.open()
        page.follows()
        place(server, 1)
        page.until("document.querySelector('tr[data-sequence=\"1\"]')")
        until_streams(1)
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        until_streams(0)
        place(server, 4)
        driver.close()
        driver.switch_to.window(first)
        page.until("document.querySelector('tr[data-sequence=\"5\"]')")
        until_streams(1)
    assert [number for number, _ in page.completed()] == [1, 2, 3, 4, 5]


def test_a_tier_is_paused_and_resumed_by_keyboard_alone(driver: Chrome, tmp_path: Path) -> None:
    def is_paused() -> list[bool]:
        return [each.get("paused", False) for each in curl(page.port, "GetQueueStats", {})["tiers"]]

    def go_to(label: str) -> None:
        for _ in range(40):
            if (
                page.ask("document.activeElement.ariaLabel ?? document.activeElement.innerText")
                == label
            ):
                return
            page.press(Keys.TAB)
        raise AssertionError(f"the keyboard does not reach {label}")

    with shown(driver, tmp_path, "--workers", "1") as (server, page):
        place(server, 3)
        page.open()
        go_to("Pause Regular")
        page.press(Keys.ENTER)
        page.until("document.getElementById('ask').open")
        page.press(Keys.ESCAPE)
        page.until("document.activeElement.ariaLabel === 'Pause Regular'")
        assert is_paused() == [False, False]
        page.press(Keys.ENTER)
        go_to("Pause")
        page.press(Keys.SPACE)
        page.until_text("Regular orders are paused")
        assert is_paused() == [False, True]
        page.until("document.activeElement.ariaLabel === 'Resume Regular'")
        page.press(Keys.ENTER)
        go_to("Resume")
        page.press(Keys.ENTER)
        page.until_text("Regular orders are resumed")
        assert is_paused() == [False, False]


def test_failed_orders_are_placed_again_by_reason(driver: Chrome, tmp_path: Path) -> None:
    handler = ("--handler", "support.handlers:by_code", "--max-attempts", "1")
    with shown(driver, tmp_path, *handler) as (server, page):
        page.open()
        page.follows()
        place(server, 3, sku="OUT_OF_STOCK")
        place(server, 2, sku="CARD_DECLINED", customer="ken")
        page.until_text("5 orders failed for good")
        assert "Place again" in page.buttons()
        page.until("document.querySelector('tr[data-code=CARD_DECLINED] input')").click()
        with Client(server.address) as client:
            last = max(each.complete_time.ToDatetime(UTC) for each in client.orders())
        driver.execute_script(OVERHEAR)
        page.click("Place 2 again")
        page.until_text("Place 2 orders again?")
        page.click("Place again")
        page.until_text("2 orders placed again")
        with Client(server.address) as client:
            page.until("document.querySelector('tr[data-sequence=\"7\"]')")
            copies = [each for each in client.orders(customer_id="ken") if each.redrive_of]
        assert len(copies) == 2
        (asked,) = page.ask("window.redrives")  # what fails from now on is not asked for again
        assert asked["codes"] == ["CARD_DECLINED"]
        assert datetime.fromisoformat(asked["endedBefore"]) <= last + timedelta(milliseconds=1)
        page.until("document.querySelector('input[aria-label=Customer]').checkVisibility()")
        driver.execute_script(
            "const i = document.querySelector('input[aria-label=Customer]');"
            "i.value = 'ada'; i.dispatchEvent(new Event('change'))"
        )
        page.until_text("3 orders failed for good")


def test_failed_orders_are_read_on_order_by_order(driver: Chrome, tmp_path: Path) -> None:
    handler = ("--handler", "support.handlers:by_code", "--max-attempts", "1")
    rows = "[...document.querySelectorAll('details tbody a.id')].map(link => link.href)"
    with shown(driver, tmp_path, *handler) as (server, page):
        with Client(server.address) as client:
            with client.placing() as placing:
                for _ in range(130):
                    placing.place(customer_id="ada", lines={"OUT_OF_STOCK": 1})
            with client.completions() as completions:
                assert [next(completions).sequence for _ in range(130)][-1] == 130
        page.open()
        page.until_text("130 orders failed for good")
        driver.execute_script(
            "const since = document.querySelector('[aria-label=\"When they failed\"]');"
            "since.value = 3600; since.dispatchEvent(new Event('change'));"
            "document.querySelector('details').open = true"
        )
        for count in (20, 40, 60, 80, 100, 120):
            page.until(f"{rows}.length === {count}")
            page.click("More")
        page.until(f"new Set({rows}).size === 130")
        assert "More" not in page.buttons()


def test_waiting_orders_are_cancelled_together(driver: Chrome, tmp_path: Path) -> None:
    with shown(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 3, customer="ken")
        place(server, 4)
        place(server, 2, vip=True)
        page.open()
        page.until_text("9 orders wait, and there is no worker.")
        page.click("Cancel waiting Regular orders")
        page.until("document.getElementById('ask').open")
        page.press("ken", Keys.ENTER, Keys.ENTER)
        page.until_text("3 orders cancelled")
        page.until_text("6 orders wait, and there is no worker.")
        with Client(server.address) as client:
            left = {each.customer_id for each in client.orders(state=order_pb2.STATE_QUEUED)}
        assert left == {"ada"}


def test_an_orders_page_tells_where_it_stands_and_cancels_it(
    driver: Chrome, tmp_path: Path
) -> None:
    with shown(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 2)
        (order,) = place(server, 1)
        place(server, 1, vip=True)
        page.open(f"#/orders/{order}")
        page.until_text("Waits: 3 orders start before it")
        page.click("Cancel order")
        page.until_text("Cancel this order?")
        page.click("Cancel the order")
        page.until_text("The order is cancelled")
        page.until("document.querySelector('h1').innerText === 'Cancelled'")
        page.click("Place again")
        page.until_text("Place this order again?")
        page.until("document.getElementById('ask-yes').click() ?? true")
        page.until_text("this is the new order")
        page.until("document.body.innerText.includes('Repeats')")
        page.open("#/orders/3")
        assert page.title == "Cancelled"


def test_the_empty_board_says_how_to_place_an_order_and_that_works(
    driver: Chrome, tmp_path: Path
) -> None:
    with shown(driver, tmp_path) as (_, page):
        page.open()
        page.follows()
        page.until_text("No order yet")
        assert page.title == "Nothing waits. All workers are free."
        line = page.ask("document.querySelector('pre').innerText")
        subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True, timeout=30)
        page.until("document.querySelector('tr[data-sequence=\"1\"]')")
        assert "No order yet" not in page.text
    assert page.completed() == [(1, "VIP")]
