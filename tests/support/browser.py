"""A real browser: Chromium without a window, driven by a test."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root
    "--disable-dev-shm-usage",  # a container's is small
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
SCRIPT_SECONDS = 30
"""No page and no script of a test takes longer, even on a busy machine."""


@contextmanager
def browser(*arguments: str) -> Iterator[Chrome]:
    """Run one; what its pages say on the console is in its log `browser`.

    Raises FileNotFoundError where there is none.
    """
    options = ChromeOptions()
    options.binary_location = _program("chromium")
    for argument in (*ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(_program("chromedriver")))
    try:
        driver.set_page_load_timeout(SCRIPT_SECONDS)
        driver.set_script_timeout(SCRIPT_SECONDS)
        yield driver
    finally:
        driver.quit()


def obstacle() -> str:
    """Tell why there is no browser here; nothing when there is one."""
    try:
        _program("chromium")
        _program("chromedriver")
    except FileNotFoundError as error:
        return str(error)
    return ""


def _program(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise FileNotFoundError(f"no {name} (on Debian: apt-get install chromium chromium-driver)")
