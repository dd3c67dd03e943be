"""The board in a real browser, as a test sees and uses it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import JavascriptException, TimeoutException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.support.ui import WebDriverWait

from support.browser import browser, obstacle
from support.http_port import http_port
from support.process import ServerProcess, server_process

SECONDS = 20
"""Nothing that the page shows takes longer, even on a busy machine."""
CURL = shutil.which("curl") or ""
LOOK_SECONDS = 0.05
HTTP = ("--http", "127.0.0.1:0")
WIDE, NARROW = (1280, 900), (360, 800)
INTAKE = "orderintake.v1.OrderIntakeService"
ADMIN = "orderintake.v1.OrderAdminService"


@contextmanager
def board_browser() -> Iterator[Chrome]:
    """Run a browser; skip where there is none, but not where CI runs."""
    if (why := obstacle()) and "CI" not in os.environ:
        pytest.skip(why)
    if not CURL and "CI" not in os.environ:
        pytest.skip("no curl")
    with browser() as driver:
        yield driver


class BoardPage:
    """A board that is open in a browser."""

    def __init__(self, driver: Chrome, port: int) -> None:
        self.driver = driver
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def looks(self, *, size: tuple[int, int] = WIDE, theme: str = "light") -> None:
        """Give the window a size, and its system a theme."""
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        wish = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)

    def begins(self) -> None:
        """Leave the page of the case before, and forget what it said."""
        self.driver.get("about:blank")
        self.console()
        self.looks()

    def open(self, fragment: str = "") -> None:
        """Load the page anew, and wait until it shows something."""
        self.driver.get("about:blank")
        self.driver.get(self.url + fragment)
        self.until("document.getElementById('view').getAttribute('aria-busy') === 'false'")

    def follows(self) -> None:
        """Wait until a completion that happens from now on will be shown."""
        self.until("document.body.dataset.stream === 'open'")

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page has
        """Return what an expression of the page gives."""
        return self.driver.execute_script(f"return ({expression})")

    def until(self, expression: str, *, seconds: float = SECONDS) -> Any:  # noqa: ANN401 - the page's
        """Wait until the expression gives something that is true, and return it."""
        wait = WebDriverWait(self.driver, seconds, LOOK_SECONDS, [JavascriptException])
        try:
            return wait.until(lambda _: self.ask(expression))
        except TimeoutException as error:
            raise AssertionError(f"not in {seconds} s: {expression}\n{self.text}") from error

    def until_text(self, text: str, *, seconds: float = SECONDS) -> None:
        """Wait until the page says so."""
        self.until(f"document.body.innerText.includes({json.dumps(text)})", seconds=seconds)

    @property
    def text(self) -> str:
        """What the page says."""
        return str(self.ask("document.body.innerText"))

    @property
    def title(self) -> str:
        """Its first heading that is seen."""
        return str(
            self.ask(
                "[...document.querySelectorAll('h1')].find(h => h.checkVisibility())?.innerText"
            )
        )

    def completed(self) -> list[tuple[int, str]]:
        """Return number and tier of the completions that it shows, the oldest first."""
        rows = self.ask(
            "[...document.querySelectorAll('tr[data-sequence]')].map("
            "row => [Number(row.dataset.sequence), row.querySelector('.dot').ariaLabel])"
        )
        return [(number, tier) for number, tier in reversed(rows)]

    def press(self, *keys: str) -> None:
        """Press these keys, one after the other."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, label: str) -> None:
        """Press the button that has this text or label, once it can be pressed."""
        self.until(
            "(b => b && (b.click(), true))([...document.querySelectorAll('button')].find("
            f"b => (b.ariaLabel ?? b.innerText) === {json.dumps(label)} && !b.disabled"
            " && b.checkVisibility()))"
        )

    def buttons(self) -> set[str]:
        """Tell what can be pressed."""
        found = self.ask(
            "[...document.querySelectorAll('button')].filter(b => b.checkVisibility())"
            ".map(b => b.ariaLabel ?? b.innerText)"
        )
        return set(found)

    def axe(self) -> list[str]:
        """Return what axe finds wrong for people who do not see the page, or cannot use a mouse."""
        source = files("axe_core_python").joinpath("axe.min.js").read_text()
        self.driver.execute_script(source)
        found = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run().then(r => done(r.violations.map("
            "v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`)))"
        )
        return [str(each) for each in found]

    def console(self) -> list[str]:
        """Return what was said on the console since the last time."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]


def curl(port: int, method: str, request: dict[str, Any], *options: str) -> dict[str, Any]:
    """Call a method as anybody can, by one line of curl."""
    service = (
        ADMIN if method.endswith(("Stats", "Tier", "Servers", "Subscribers", "Workers")) else INTAKE
    )
    command = [
        CURL,
        "-sS",
        "--fail-with-body",
        *options,
        f"http://127.0.0.1:{port}/{service}/{method}",
    ]
    said = ["-H", "content-type: application/json", "-d", json.dumps(request)]
    end = subprocess.run([*command, *said], check=False, capture_output=True, text=True, timeout=30)
    assert end.returncode == 0, end.stdout + end.stderr
    answer = json.loads(end.stdout)
    assert isinstance(answer, dict)
    return answer


@contextmanager
def told(port: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Follow completions from the first one on, by one line of curl."""
    url = f"http://127.0.0.1:{port}/{INTAKE}/StreamCompletions"
    with subprocess.Popen([CURL, "-sSN", url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield (json.loads(line[5:]) for line in process.stdout if is_completion(line))
        finally:
            process.kill()


def is_completion(line: str) -> bool:
    """Tell whether a line of an event stream holds a completion."""
    return line.startswith("data:") and '"order"' in line


def picture(page: BoardPage, path: Path) -> bytes:
    """Take a screenshot of what is seen, and keep it."""
    page.driver.save_screenshot(str(path))
    return path.read_bytes()


@contextmanager
def board_of(
    driver: Chrome, data: Path, *arguments: str
) -> Iterator[tuple[ServerProcess, BoardPage]]:
    """Run a server, and give the board that is to be opened on it."""
    with server_process(data, *HTTP, *arguments) as server:
        page = BoardPage(driver, http_port(server))
        page.begins()
        yield server, page
