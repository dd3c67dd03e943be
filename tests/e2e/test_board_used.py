"""What a reader does on the board in Chromium, and must not be misled by."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from orderintake import Client
from support.board_page import NARROW, WIDE, BoardPage, board_browser, board_of, curl
from support.callers import entry, key_of, write_access
from support.process import ServerProcess

pytestmark = [pytest.mark.seconds, pytest.mark.timeout(120)]

FAILING = ("--handler", "support.handlers:by_code", "--max-attempts", "1")
HELD = (
    "window.release = () => {}; window.fetched ??= fetch; let hold = new Promise(r => release = r);"
    " window.fetch = async (where, options) => {"
    " if (where.includes('/%s')) await hold; return fetched(where, options) }"
)
"""Keeps the page's calls of a method back until `release()`."""
PARTIAL = (
    "const fetched = fetch; window.fetch = (where, options) => {"
    " if (!where.endsWith('/ListFailures')) return fetched(where, options);"
    " const request = JSON.parse(options.body);"
    " const body = JSON.stringify({ ...request, pageToken: '' });"
    " if (request.pageToken === 'third') return fetched(where, { ...options, body });"
    " const nextPageToken = request.pageToken ? 'third' : 'second';"
    " return Response.json({ countsArePartial: !request.pageToken, nextPageToken }) }"
)
"""Lets the first two pages of failures hold none, as where there are many that do not match."""
CHOSEN = "document.querySelector('tr[data-code=%s] input').checked"
IDS = "[...document.querySelectorAll('tbody a.id')].map(link => link.href)"
PLACE_AGAIN = "section[aria-label='Failed orders'] .head button"
AHEAD_MS = 2 * 3_600_000
FAST = f"const now = Date.now.bind(Date); Date.now = () => now() + {AHEAD_MS}"


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with board_browser() as driver:
        yield driver


def place(server: ServerProcess, count: int, *, customer: str = "ada", sku: str = "tea") -> None:
    """Place so many orders."""
    with Client(server.address) as client, client.placing() as placing:
        for _ in range(count):
            placing.place(customer_id=customer, lines={sku: 1})


def go(page: BoardPage, fragment: str) -> None:
    """Follow a link to another part of the page."""
    page.driver.execute_script("location.hash = arguments[0]", fragment)


def write(page: BoardPage, label: str, text: str) -> None:
    """Fill in a field, and leave it."""
    page.driver.execute_script(
        "const [label, text] = arguments;"
        "const field = document.querySelector(`input[aria-label='${label}']`);"
        "field.value = text; field.dispatchEvent(new Event('change'))",
        label,
        text,
    )


def test_a_label_without_its_key_cancels_nothing(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 3)
        page.open()
        page.click("Cancel waiting Regular orders")
        page.until("document.querySelector('#ask input[name=label]')").send_keys("=gold")
        page.click("Cancel them")
        page.until_text("is required")
        assert curl(page.port, "GetQueueStats", {})["tiers"][1]["queued"] == "3"


def test_what_is_placed_again_is_what_was_counted(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        place(server, 2, sku="LATE")
        place(server, 1, sku="LATE", customer="ken")
        page.open()
        page.until_text("3 orders failed for good")
        write(page, "Customer", "ken")
        page.until("document.querySelector('tr[data-code=LATE] input')").click()
        page.until_text("Place 1 again")
        driver.execute_script(HELD % "ListFailures")
        write(page, "Customer", "")
        button = driver.find_element(By.CSS_SELECTOR, PLACE_AGAIN)
        assert not button.is_enabled()
        page.ask("release()")
        page.until_text("Place 3 again")
        assert button.is_enabled()


def test_a_reason_that_was_placed_again_is_chosen_no_more(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        place(server, 1, sku="LATE")
        page.open()
        page.follows()
        page.until("document.querySelector('tr[data-code=LATE] input')").click()
        place(server, 1, sku="LATE")  # so that the reason stays
        page.until("document.querySelectorAll('tr[data-order]').length === 2")
        driver.find_element(By.CSS_SELECTOR, PLACE_AGAIN).click()
        page.until("document.getElementById('ask').open")
        page.ask("document.getElementById('ask-yes').click()")
        page.until_text("placed again")
        page.until(f"!{CHOSEN % 'LATE'}")


def test_more_reasons_than_one_call_takes_stay_chosen(driver: Chrome, tmp_path: Path) -> None:
    codes = [f"CODE{n:02}" for n in range(21)]
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        for code in codes:
            place(server, 1, sku=code)
        page.open()
        page.until_text("21 orders failed for good")
        page.ask("document.querySelectorAll('tr[data-code] input').forEach(box => box.click())")
        page.click("Place 20 again")
        page.until("document.getElementById('ask').open")
        page.ask("document.getElementById('ask-yes').click()")
        page.until_text("20 orders placed again")
        page.until_text("Place 1 again")
        assert page.ask("document.querySelectorAll('tr[data-code] input:checked').length") == 1


def test_failures_beyond_those_that_are_counted_are_read_on_to(
    driver: Chrome, tmp_path: Path
) -> None:
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        place(server, 1, sku="LATE")
        page.open()
        page.until_text("1 order failed for good")
        driver.execute_script(PARTIAL)
        write(page, "Customer", "ada")
        page.until_text("older ones may be")
        assert "Nothing failed" not in page.text
        page.ask("document.querySelector('details').open = true")
        page.click("More")
        page.until("document.querySelector('details tbody').innerText.includes('no late for ada')")


def test_a_list_that_is_asked_for_twice_is_read_once(driver: Chrome, tmp_path: Path) -> None:
    more = "[...document.querySelectorAll('button')].find(b => b.innerText === 'More')"
    with board_of(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 60)
        page.open()
        driver.execute_script(HELD % "ListOrders")
        go(page, "#/customers/ada")
        driver.execute_script("dispatchEvent(new HashChangeEvent('hashchange'))")
        page.ask("release()")
        page.until(f"{IDS}.length >= 50")
        page.ask(f"({more}.click(), {more}.click())")
        page.until(f"new Set({IDS}).size === 60")
        assert len(page.ask(IDS)) == 60


def test_who_goes_on_is_not_led_elsewhere_by_what_is_not_there(
    driver: Chrome, tmp_path: Path
) -> None:
    with board_of(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 2)
        page.open()
        driver.execute_script(HELD % "GetOrder")
        go(page, "#/orders/999")
        page.until("performance.getEntriesByType('navigation')")
        go(page, "#/orders/2")
        page.ask("release()")
        page.until_text("Waits: 1 order starts before it")
        assert page.ask("location.hash") == "#/orders/2"


def test_a_question_ends_where_its_order_is_left(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 2)
        page.open("#/orders/1")
        page.click("Cancel order")
        page.until("document.getElementById('ask').open")
        go(page, "#/orders/2")
        page.until("!document.getElementById('ask').open")
        page.until_text("Waits: 1 order starts before it")


def test_an_orders_page_stays_when_its_head_is_skipped(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, "--workers", "0") as (server, page):
        place(server, 1)
        page.open("#/orders/1")
        page.press(Keys.TAB)
        assert page.ask("document.activeElement.className") == "skip"
        page.press(Keys.ENTER)
        page.until("document.activeElement.id === 'main'")
        assert page.ask("location.hash") == "#/orders/1"


def test_names_of_any_length_fit_on_the_screen(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        place(server, 2, customer="W" * 128, sku="w" * 64)
        place(server, 1, customer="W" * 128, sku="W" * 32)
        for view in ("", "#/orders/1", f"#/customers/{'W' * 128}"):
            page.open(view)
            page.until_text("W" * 128)
            for size in (WIDE, NARROW):
                page.looks(size=size)
                assert page.ask("document.documentElement.scrollWidth") <= size[0], view


def test_times_go_by_the_servers_clock(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path, *FAILING) as (server, page):
        place(server, 1, sku="LATE")
        place(server, 1, sku="LATE", customer="ken")
        early = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FAST})
        page.open()
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", early)
        page.until_text("2 orders failed for good")
        assert " h ago" not in page.text
        page.ask("document.querySelector('[aria-label=\"When they failed\"]').value = 3600")
        write(page, "Customer", "ken")
        page.until_text("1 order failed for good")
        assert " h ago" not in page.text


def test_what_was_missed_is_told_once(driver: Chrome, tmp_path: Path) -> None:
    def looks_away(missed: int) -> None:
        driver.switch_to.new_window("tab")
        while curl(page.port, "GetQueueStats", {}).get("subscribers", 0):
            pass
        head = int(curl(page.port, "GetQueueStats", {})["headSequence"]) + missed
        place(server, missed)
        while int(curl(page.port, "GetQueueStats", {})["headSequence"]) < head:
            pass
        driver.close()
        driver.switch_to.window(first)
        page.follows()

    with board_of(driver, tmp_path) as (server, page):
        first = driver.current_window_handle
        page.open()
        page.follows()
        place(server, 1)
        page.until("document.querySelector('tr[data-sequence=\"1\"]')")
        looks_away(1_001)
        page.until_text("1,001 orders completed while nobody looked")
        driver.execute_script("document.getElementById('say').textContent = ''")
        looks_away(0)
        assert "nobody looked" not in page.text


def test_what_nobody_looks_at_is_not_kept(driver: Chrome, tmp_path: Path) -> None:
    order = {"tier": "TIER_REGULAR"} | dict.fromkeys(
        ("acceptTime", "startTime", "completeTime"), "2026-01-01T00:00:00Z"
    )
    with board_of(driver, tmp_path) as (_, page):
        page.open()
        kept = driver.execute_async_script(
            "const [order, done] = arguments;"
            "import(new URL('board/passing.js', document.baseURI)).then(({ Passing }) => {"
            " const passing = new Passing();"
            " for (let n = 0; n < 20_000; n += 1) passing.add(order);"
            " done(passing.started.length) })",
            order,
        )
    assert kept < 5_000


def test_an_address_with_a_percent_sign_is_shown(driver: Chrome, tmp_path: Path) -> None:
    with board_of(driver, tmp_path) as (_, page):
        page.open()
        told = driver.execute_async_script(
            "const done = arguments[0];"
            "import(new URL('board/tables.js', document.baseURI)).then(({ Subscribers }) => {"
            " const card = new Subscribers();"
            " card.show({ subscribers: [{ peer: 'ipv6:fe80::1%eth0' }], total: 1 }, 0);"
            " done(card.root.innerText) })"
        )
        assert "fe80::1%eth0" in told


def test_who_processes_the_orders_is_shown(driver: Chrome, tmp_path: Path) -> None:
    worker = {
        "name": "<b>kitchen:7</b>", "kind": "WORKER_KIND_REMOTE", "workerId": "me",
        "capacity": 16, "busy": 1, "stopping": True, "heartbeatTime": "1970-01-01T00:01:00Z",
        "attempts": [{"orderId": "order-7", "startTime": "1970-01-01T00:00:30Z"}],
    }  # fmt: skip
    with board_of(driver, tmp_path) as (_, page):
        page.open()
        page.until_text("in a server")
        told = driver.execute_async_script(
            "const [found, done] = arguments;"
            "import(new URL('board/tables.js', document.baseURI)).then(({ Workers }) => {"
            " const card = new Workers();"
            " card.show(found, 90_000);"
            " done(card.root.innerText) })",
            {"workers": [worker], "total": 3},
        )
    for text in (
        "<b>kitchen:7</b>",
        "on its own, stops",
        "1 of 16",
        "order-7",
        "30 s ago",
        "2 more",
    ):
        assert text in told


# Who looks


def test_without_a_token_the_page_goes_on_asking(driver: Chrome, tmp_path: Path) -> None:
    access = write_access(tmp_path / "access.toml", [entry("eye", "observer")])
    with board_of(driver, tmp_path / "data", "--access", str(access)) as (_, page):
        page.open()
        go(page, "#/")
        page.until("location.hash === '#/'")
        page.until("document.getElementById('ask').open === false")
        assert page.title == "Who asks?"


def test_a_token_that_cannot_be_sent_is_not_taken(driver: Chrome, tmp_path: Path) -> None:
    access = write_access(tmp_path / "access.toml", [entry("eye", "observer")])
    with board_of(driver, tmp_path / "data", "--access", str(access)) as (_, page):
        page.open()
        page.until("document.getElementById('token')").send_keys("oik_eye…")
        page.click("Show the board")
        page.until("document.getElementById('token').matches(':invalid')")
        assert page.title == "Who asks?"


def test_a_token_that_the_server_does_not_read_can_be_forgotten(
    driver: Chrome, tmp_path: Path
) -> None:
    access = write_access(tmp_path / "access.toml", [entry("eye", "observer")])
    with board_of(driver, tmp_path / "data", "--access", str(access)) as (_, page):
        page.open()
        page.until("document.getElementById('token')")
        driver.execute_script("document.getElementById('token').value = 'x'.repeat(9000)")
        page.click("Show the board")
        page.click("Forget the token")
        page.until_text("Who asks?")


def test_a_caller_that_has_other_roles_now_is_shown_what_they_allow(
    driver: Chrome, tmp_path: Path
) -> None:
    access = write_access(tmp_path / "access.toml", [entry("eye", "observer")])
    with board_of(driver, tmp_path / "data", "--access", str(access)) as (_, page):
        page.open()
        page.until("document.getElementById('token')").send_keys(key_of("eye"))
        page.click("Show the board")
        page.until_text("Nothing waits")
        write_access(access, [entry("eye", "customer", customer="ada")])
        page.until("!document.querySelector('.floor').checkVisibility()", seconds=40)
        page.until("!document.body.classList.contains('off')")
        page.ask("sessionStorage.clear()")
