"""Pages of other sites in a real browser: what they try, and what one that is listed may do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from support.browser import browser, obstacle
from support.connect import ADMIN, INTAKE, ask
from support.http_port import http_port
from support.process import server_process

ORDER = '{"customerId": "ada", "lines": [{"sku": "tea", "quantity": 1}]}'
LEAST_ATTACKS = 9
ATTACKS = """
const [url, order, done] = arguments;
const place = `${url}/orderintake.v1.OrderIntakeService/PlaceOrder`;
const stats = `${url}/orderintake.v1.OrderAdminService/GetQueueStats?encoding=json&message={}`;
const follow = `${url}/orderintake.v1.OrderIntakeService/StreamCompletions`;
const json = { "content-type": "application/json" };
const blob = new Blob([order], { type: "application/json" });
const post = (body, more) => fetch(place, { method: "POST", body, ...more });
const loaded = (element, path) => new Promise((resolve) => {
  element.onload = () => resolve("loaded");
  element.onerror = () => resolve("error");
  element.src = path;
  document.body.append(element);
});
const form = (enctype) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.name = `to-${enctype}`;
  document.body.append(frame);
  const sent = document.createElement("form");
  Object.assign(sent, { action: place, method: "POST", enctype, target: frame.name });
  const field = document.createElement("input");
  Object.assign(field, { name: order.slice(0, -1) + ', "x":"', value: '"}' });
  sent.append(field);
  document.body.append(sent);
  frame.onload = () => resolve("sent");
  sent.submit();
});
const eventSource = () => new Promise((resolve) => {
  const source = new EventSource(follow);
  source.onopen = () => resolve("open");
  source.onerror = () => resolve("error");
});
const attacks = {
  fetch: () => post(order, { headers: json }),
  "fetch of text": () => post(order),
  "no-cors text": () => post(order, { mode: "no-cors", headers: { "content-type": "text/plain" } }),
  "no-cors blob": () => post(blob, { mode: "no-cors" }),
  beacon: async () => navigator.sendBeacon(place, blob),
  read: () => fetch(stats),
  "form as text": () => form("text/plain"),
  form: () => form("application/x-www-form-urlencoded"),
  image: () => loaded(new Image(), stats),
  script: () => loaded(document.createElement("script"), stats),
  events: eventSource,
};
(async () => {
  const found = {};
  for (const [name, attack] of Object.entries(attacks)) {
    const told = await attack().catch(() => "error");
    found[name] = told instanceof Response ? `${told.type} ${told.status}` : told;
  }
  done(found);
})();
"""


class _Page(BaseHTTPRequestHandler):
    """Sends an empty page, whatever is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def another_site() -> Iterator[str]:
    """Serve a page; give its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def attacked(data: Path, *settings: str, site: str) -> Iterator[tuple[Chrome, int]]:
    """Open a page of `site` beside a server; give the browser, and the server's port."""
    arguments = ("--http", "127.0.0.1:0", "--workers", "0", *settings)
    with server_process(data, *arguments) as server, browser() as driver:
        driver.get(site)
        yield driver, http_port(server)


def waiting(port: int) -> int:
    """Count the orders that were placed."""
    tiers = ask(port, f"{ADMIN}/GetQueueStats", b"{}").json["tiers"]
    return sum(int(tier.get("queued", 0)) for tier in tiers)


def attack(driver: Chrome, port: int) -> dict[str, Any]:
    """Try everything from the page; the server is another site to it by its name too."""
    found: dict[str, Any] = driver.execute_async_script(ATTACKS, f"http://localhost:{port}", ORDER)
    return found


@pytest.mark.seconds
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
def test_a_page_of_another_site_can_neither_place_nor_read(tmp_path: Path) -> None:
    with another_site() as site, attacked(tmp_path, site=site) as (driver, port):
        found = attack(driver, port)
        placed = waiting(port)
        assert ask(port, f"{INTAKE}/PlaceOrder", ORDER.encode()).status == 200
        assert waiting(port) == 1, "without a page it is placed"
    assert placed == 0
    assert len(found) >= LEAST_ATTACKS
    told = {name: found[name] for name in ("fetch", "fetch of text", "read", "image", "events")}
    assert set(told.values()) == {"error"}
    assert found["no-cors blob"] in {"error", "opaque 0"}


@pytest.mark.seconds
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
def test_a_page_that_is_listed_can(tmp_path: Path) -> None:
    with (
        another_site() as site,
        attacked(tmp_path, "--http-origins", site, site=site) as (driver, port),
    ):
        found = attack(driver, port)
        placed = waiting(port)
    assert found["fetch"] == "cors 200"
    assert found["read"] == "cors 200"
    assert found["fetch of text"] == "cors 415"
    assert found["events"] == "open"
    assert placed >= 1
