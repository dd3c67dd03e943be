"""The dashboard and the alerts: made of what a server shows, and filled by the demo's load."""

import asyncio
import importlib.util
import io
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from rich.console import Console
from rich.live import Live

from orderintake import AsyncClient
from orderintake_server.metrics import TABLE, Kind
from orderintake_server.metrics.table import PREFIX
from support.http_port import http_port
from support.metrics import Sample, get, page, scrape
from support.process import ServerProcess, server_process

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "metrics" / "dashboard.json").read_text())
ALERTS = DOCS / "metrics" / "alerts.yml"
PANELS: dict[str, list[str]] = {
    panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]
}
RULES = re.findall(r"^ +expr: (.*)$", ALERTS.read_text(), re.MULTILINE)
EXPRESSIONS = [*RULES, *(each for expressions in PANELS.values() for each in expressions)]
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds, and those of buckets."""
WITHOUT_TLS = {
    f"{PREFIX}tls_certificate_expiry_timestamp_seconds",
    f"{PREFIX}tls_reloads_total",
    f"{PREFIX}access_reloads_total",
}
"""What only a server with a certificate, or with a file of callers, has a number for."""
QUIET = {
    "Calls a second that did not succeed",
    "Failed attempts a second, by code; quarantined orders",
    "Lines that the log lost a second",
    "What workers say of attempts a second; answers that were lost",
    "Workers in processes of their own",
}
"""Panels that show no more than zeros when all is well."""
Ask = Callable[[str], list[float]]
NO_TROUBLE = {f"{PREFIX}failures_total"}
"""What is not there until something fails."""
_SELECTOR = re.compile(r"\b((?:orderintake|process|python)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


class Selector(NamedTuple):
    """Which samples a part of an expression takes."""

    name: str
    matchers: list[tuple[str, str, str]]

    def takes(self, sample: Sample) -> bool:
        """Tell whether it takes this one."""
        return sample.name == self.name and all(
            re.fullmatch(text, sample.labels.get(label, ""))
            if how == "=~"
            else sample.labels.get(label, "") == text
            for label, how, text in self.matchers
        )


def selectors(expression: str) -> list[Selector]:
    """Find what an expression is made of."""
    return [Selector(name, _MATCHER.findall(said)) for name, said in _SELECTOR.findall(expression)]


def demo() -> Any:  # noqa: ANN401 - a program, not a module of ours
    """Load the demo's program."""
    spec = importlib.util.spec_from_file_location("demo", DOCS / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def demo_server(data: Path) -> Iterator[ServerProcess]:
    """Run a server as the demo does, with its HTTP listener."""
    workers = ("--workers", str(demo().WORKERS))
    with server_process(data, "--http", "127.0.0.1:0", *workers) as server:
        yield server


async def load(server: ServerProcess) -> None:
    """Put the demo's load on a server, and wait for its end."""
    program = demo()
    board = program.Board(Live(console=Console(file=io.StringIO())))
    async with AsyncClient(server.address) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(program.watch(client, board))
        tasks.create_task(program.place(client, board))


def shown_name(name: str) -> str:
    """Return the metric that a series belongs to."""
    plain = name.removeprefix(PREFIX)
    base = re.sub(r"_(bucket|sum|count)$", "", plain)
    return base if TABLE.get(base, TABLE["orders"]).kind is Kind.HISTOGRAM else plain


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_use_metrics_and_labels_that_there_are(expression: str) -> None:
    found = selectors(expression)
    assert found
    labels = set(ADDED)
    for name, matchers in found:
        if name.startswith(PREFIX):
            metric = TABLE[shown_name(name)]
            assert {label for label, _, _ in matchers} <= set(metric.labels)
            labels |= set(metric.labels)
    for group in _GROUPING.findall(expression):
        assert {label.strip() for label in group.split(",")} <= labels


def test_every_metric_has_its_panel() -> None:
    used = {
        shown_name(found.name)
        for expressions in PANELS.values()
        for expression in expressions
        for found in selectors(expression)
    }
    assert TABLE.keys() <= used


@pytest.mark.seconds
async def test_the_demos_load_fills_every_panel(tmp_path: Path) -> None:
    with demo_server(tmp_path) as server:
        await load(server)
        found = await scrape(http_port(server))
        text = (await get(http_port(server))).text
        assert await server.stops() == 0
    empty = [
        selector
        for expression in EXPRESSIONS
        for selector in selectors(expression)
        if not any(selector.takes(sample) for sample in found.samples)
    ]
    assert {selector.name for selector in empty} <= WITHOUT_TLS | NO_TROUBLE
    for name in WITHOUT_TLS | NO_TROUBLE:
        assert f"# TYPE {name} " in text
    assert found.value("orders_completed_total", state="succeeded") == demo().ORDERS
    assert found.value("estimates_total") > 0
    assert found.value("wait_seconds_count", tier="vip") > 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is in Debian's prometheus")
def test_promtool_finds_no_fault_in_the_alerts_and_the_panels(tmp_path: Path) -> None:
    rules = "".join(
        f"      - record: panel:{number}\n        expr: {json.dumps(_plain(expression))}\n"
        for number, expression in enumerate(EXPRESSIONS)
    )
    panels = tmp_path / "panels.yml"
    panels.write_text(f"groups:\n  - name: panels\n    rules:\n{rules}")
    command = [shutil.which("promtool") or "", "check", "rules", str(ALERTS), str(panels)]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.seconds
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is in Debian's prometheus")
def test_promtool_finds_no_fault_in_what_is_shown(tmp_path: Path) -> None:
    with demo_server(tmp_path) as server:
        text = page(http_port(server)).text
    command = [shutil.which("promtool") or "", "check", "metrics"]
    end = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.seconds
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian's prometheus is not here")
async def test_prometheus_itself_shows_the_demos_load_in_every_panel(tmp_path: Path) -> None:
    with (
        demo_server(tmp_path / "data") as server,
        prometheus(tmp_path, http_port(server)) as ask,
    ):
        async with asyncio.timeout(90):
            await until_more_than(-1, ask, f"{PREFIX}store_up")
            await load(server)
            for title, expressions in PANELS.items():
                names = {found.name for each in expressions for found in selectors(each)}
                if not names <= WITHOUT_TLS:
                    least = -1 if title in QUIET else 0
                    await until_more_than(least, ask, *expressions)


async def until_more_than(least: float, ask: Ask, *expressions: str) -> None:
    """Ask until one of the expressions has been greater in the last minutes."""
    while True:
        for expression in expressions:
            lately = f"max_over_time(({_plain(expression)})[5m:1s])"
            if any(value > least for value in await asyncio.to_thread(ask, lately)):
                return


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[Ask]:
    """Run a Prometheus that scrapes the port; give what asks it for an expression's values."""
    config = folder / "prometheus.yml"
    scraped = f"[{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    config.write_text(f"global: {{scrape_interval: 200ms}}\nscrape_configs: {scraped}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    options = (
        *(f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"),
        f"--web.listen-address=127.0.0.1:{own}",
    )
    command = [shutil.which("prometheus") or "", *options]

    def ask(expression: str) -> list[float]:
        try:
            answer = page(own, f"/api/v1/query?{urlencode({'query': expression})}")
        except OSError:  # it has not started yet
            return []
        found = json.loads(answer.text)["data"]["result"] if answer.status == 200 else []
        return [float(each["value"][1]) for each in found]

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield ask
        finally:
            process.kill()


def _plain(expression: str) -> str:
    """Return an expression as Prometheus reads it, without what Grafana fills in."""
    return expression.replace("$__rate_interval", "1m")
