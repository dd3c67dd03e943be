"""How the board is seen in Chromium: by whom, on what screen, with how many orders."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from orderintake import VIP, Client
from support.board_page import NARROW, WIDE, BoardPage, board_browser
from support.callers import entry, key_of, write_access
from support.http_port import http_port
from support.process import ServerProcess, server_process

pytestmark = [pytest.mark.seconds, pytest.mark.timeout(120)]

MANY = 10_000
MOST_NODES = 2_000
MOST_WORK_SECONDS = 1.5
"""Of processor time, while 200 completions are shown; it is a quarter of that."""
VIEWS = ["", "#/orders/1", "#/orders/3", "#/customers/ada", "#/customers/nobody"]
HANDLER = ("--handler", "support.handlers:by_code", "--max-attempts", "1", "--workers", "1")


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with board_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with something of everything: done, failed, paused, waiting."""
    with server_process(
        tmp_path_factory.mktemp("seen"), "--http", "127.0.0.1:0", *HANDLER
    ) as server:
        with Client(server.address) as client, client.completions() as completions:
            client.place(customer_id="ada", lines={"OUT_OF_STOCK": 1})
            client.place(customer_id="ken", lines={"tea": 2, "cake": 1}, tier=VIP)
            assert [next(completions).sequence for _ in range(2)] == [1, 2]
            client.pause_tier(VIP)
            for n in range(30):
                client.place(customer_id="ada", lines={"tea": 1}, tier=VIP, labels={"n": str(n)})
        yield server


@pytest.fixture
def page(driver: Chrome, server: ServerProcess) -> BoardPage:
    page = BoardPage(driver, http_port(server))
    page.begins()
    return page


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_wrong(page: BoardPage, theme: str, view: str) -> None:
    page.looks(theme=theme)
    page.open(view)
    assert page.axe() == []
    page.looks(size=NARROW, theme=theme)
    assert page.axe() == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_narrow_screen_scrolls_in_one_direction_only(page: BoardPage, view: str) -> None:
    page.looks(size=NARROW)
    page.open(view)
    assert page.ask("document.documentElement.scrollWidth") <= NARROW[0]
    seen = page.ask(
        "[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()"
        " && !e.closest('.lane, .walk, pre, .vh') && e.getBoundingClientRect().right > innerWidth)"
        ".map(e => e.outerHTML)"
    )
    assert seen == []


def test_it_is_dark_where_the_system_is_until_the_reader_says_otherwise(page: BoardPage) -> None:
    def paper() -> int:
        colour = page.ask("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    page.looks(theme="dark")
    page.open()
    assert paper() < 100
    page.click("Switch between light and dark")
    assert paper() > 600
    page.open()
    assert paper() > 600
    page.ask("localStorage.clear()")
    page.looks(theme="light")
    page.open()
    assert paper() > 600


def test_a_paused_tier_is_told_in_words_and_in_the_lane(page: BoardPage) -> None:
    page.open()
    assert page.title == "VIP orders are paused."
    assert page.ask("document.querySelector('.lane.v').ariaLabel") == "VIP: 30 waiting, paused"
    page.open("#/orders/10")
    assert page.title == "Waits: an operator paused its tier"


def test_the_servers_the_store_and_who_follows_are_told(page: BoardPage) -> None:
    page.open()
    page.follows()
    page.until_text("All heard")
    page.until_text("0 of 1\t")
    page.until_text("SQLite")
    page.until_text("commits ")
    page.until("document.querySelector('tr[data-lag=\"0\"]')")
    assert "everything" in page.text


def test_a_failed_order_tells_why(page: BoardPage) -> None:
    page.open("#/orders/1")
    assert page.title == "Failed after 1 try"
    assert "OUT_OF_STOCK" in page.text
    assert "Place again" in page.buttons()


def test_what_is_no_order_is_looked_for_as_a_customer(page: BoardPage) -> None:
    page.open()
    page.ask("document.getElementById('q').value = 'ken'")
    page.ask("document.getElementById('find').requestSubmit()")
    page.until_text("Orders of ken")
    page.until_text("2 tea and 1 more")


def test_ten_thousand_waiting_orders_make_no_stutter(driver: Chrome, tmp_path: Path) -> None:
    with server_process(tmp_path, "--http", "127.0.0.1:0", "--workers", "4") as server:
        with Client(server.address) as client, client.placing() as placing:
            for n in range(MANY):
                placing.place(
                    customer_id=f"c{n % 7}", lines={"tea": 1}, labels={"processing_time": "0.05s"}
                )
        page = BoardPage(driver, http_port(server))
        page.looks(size=WIDE)
        page.open()
        page.follows()
        seen = page.ask("Number(document.querySelector('[data-sequence]')?.dataset.sequence ?? 0)")
        before = work(driver)
        page.until(
            f"Number(document.querySelector('[data-sequence]')?.dataset.sequence) > {seen + 200}"
        )
        assert work(driver) - before < MOST_WORK_SECONDS
        assert page.ask("document.querySelectorAll('*').length") < MOST_NODES
        assert "more behind" in page.text


HOSTILE = "<img src=x onerror='document.title=1'>&lt;"


def test_what_callers_write_is_text_and_nothing_else(
    page: BoardPage, server: ServerProcess
) -> None:
    page.looks()
    page.open()
    page.follows()
    with Client(server.address) as client:
        receipt = client.place(customer_id=HOSTILE, lines={HOSTILE: 1}, labels={HOSTILE: HOSTILE})
    page.until_text(HOSTILE)
    page.open(f"#/orders/{receipt.order.order_id}")
    assert page.text.count(HOSTILE) == 4
    page.open(f"#/customers/{quote(HOSTILE)}")
    assert page.title == f"Orders of {HOSTILE}"
    assert page.ask("document.querySelectorAll('main img').length") == 0
    assert page.console() == []


def test_a_script_that_is_not_the_pages_own_does_not_run(page: BoardPage) -> None:
    page.open()
    page.driver.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.hasRun = true'; document.body.append(script)"
    )
    assert page.ask("window.hasRun ?? false") is False
    assert any("Content Security Policy" in said for said in page.console())


EVENTS = (
    "retry: 1500\n\n"
    'event: started\nid: c0\ndata: {"headSequence":"7"}\n\n'
    "id: c1\r\ndata: one: two\r\n\r\n"
    "data: a\ndata:b\n\n: beat\nid: c2\n\ndata: cut"
)
READ = [
    {"retry": "1500"},
    {"event": "started", "id": "c0", "data": '{"headSequence":"7"}'},
    {"id": "c1", "data": "one: two"},
    {"data": "a\nb"},
    {"id": "c2"},
]


def test_the_page_reads_events_however_they_are_cut(page: BoardPage) -> None:
    page.open()
    found = page.driver.execute_async_script(
        "const [text, done] = arguments;"
        "import(new URL('board/calls.js', document.baseURI)).then(({ Parser }) => done("
        "[...text, ''].map((_, cut) => { const parser = new Parser();"
        " return [text.slice(0, cut), text.slice(cut)].flatMap("
        "part => [...parser.take(part)]) })))",
        EVENTS,
    )
    assert len(found) == len(EVENTS) + 1
    assert all(each == READ for each in found)


def completed(tier: str, accepted: int, started: int) -> dict[str, str]:
    """Make an order that was accepted and started at these seconds."""
    times = {"acceptTime": accepted, "startTime": started, "completeTime": started + 1}
    return {"tier": tier} | {name: f"2026-01-01T00:00:{at:02}Z" for name, at in times.items()}


@pytest.mark.parametrize(
    ("regular", "count"),
    [((1, 9), 1), ((1, 4), 0), ((3, 9), 0)],
    ids=["it waited all the time", "it had started before", "it came later"],
)
def test_a_vip_order_went_ahead_when_an_earlier_regular_one_started_later(
    page: BoardPage, regular: tuple[int, int], count: int
) -> None:
    page.open()
    told = page.driver.execute_async_script(
        "const [orders, done] = arguments;"
        "import(new URL('board/passing.js', document.baseURI)).then(({ Passing }) => {"
        " const passing = new Passing(); orders.forEach(order => passing.add(order));"
        " done(passing.told().count) })",
        [completed("TIER_VIP", 2, 5), completed("TIER_REGULAR", *regular)],
    )
    assert told == count


def work(driver: Chrome) -> float:
    """Return the seconds of processor time that the page has taken, however busy others are."""
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    told = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(sum(each["value"] for each in told if each["name"] == "TaskDuration"))


# Who looks


def test_seven_tabs_are_no_tab_too_many(driver: Chrome, page: BoardPage) -> None:
    first = driver.current_window_handle
    page.open()
    opened = []
    for _ in range(6):
        driver.switch_to.new_window("tab")
        opened.append(driver.current_window_handle)
        page.open()
        page.follows()
    assert page.ask("document.body.classList.contains('off')") is False
    for tab in opened:
        driver.switch_to.window(tab)
        driver.close()
    driver.switch_to.window(first)
    page.follows()


def test_an_observer_sees_it_without_buttons_and_a_stranger_is_asked_for_a_token(
    driver: Chrome, tmp_path: Path
) -> None:
    entries = [entry("eye", "observer"), entry("ada", "customer", customer="ada")]
    access = write_access(tmp_path / "access.toml", entries)
    with server_process(
        tmp_path / "data", "--http", "127.0.0.1:0", "--access", str(access)
    ) as server:
        page = BoardPage(driver, http_port(server))
        page.looks()
        page.open()
        assert page.title == "Who asks?"
        assert page.axe() == []
        enter(page, "oik_nobody")
        page.until_text("is not known")
        enter(page, key_of("eye"))
        page.until_text("Nothing waits")
        page.until_text("eye · read only")
        changing = {"Pause VIP", "Pause Regular", "Cancel waiting VIP orders", "Place again"}
        assert not changing & page.buttons()
        page.click("Forget the token")
        page.until_text("Who asks?")
        enter(page, key_of("ada"))
        page.until_text("Completions appear here as they happen.")
        assert page.ask("document.querySelector('.floor').checkVisibility()") is False
        page.ask("sessionStorage.clear()")


def enter(page: BoardPage, token: str) -> None:
    """Give the page a token."""
    page.until("document.getElementById('token')").send_keys(token)
    page.click("Show the board")
