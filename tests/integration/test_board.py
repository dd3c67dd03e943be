"""The board's files as they are served, and what a reader is told that it may do."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from orderintake_server.access import Role
from orderintake_server.api.methods import TABLE
from orderintake_server.config import Settings
from orderintake_server.http.board import HEADERS
from orderintake_server.service import running
from support.callers import entry, key_of, write_access
from support.metrics import get, page, scrape

PAGE = Path(__file__).parents[2] / "server" / "orderintake_server" / "http" / "board" / "page"
ACTIONS = {"PauseTier", "ResumeTier", "RedriveOrder", "RedriveOrders", "CancelOrders"}


def settings(data: Path, **more: object) -> Settings:
    return Settings.model_validate(
        {"listen": ("127.0.0.1:0",), "http": "127.0.0.1:0", "data": data, "workers": 0, **more}
    )


async def test_every_file_of_the_page_is_served_under_a_strict_policy(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as service:
        assert service.http_port
        names = ["/", *(f"/board/{each.name}" for each in PAGE.iterdir())]
        found = {name: await get(service.http_port, name) for name in names}
    assert {answer.status for answer in found.values()} == {200}
    assert found["/"].text == (PAGE / "index.html").read_text()
    for answer in found.values():
        assert HEADERS.items() <= answer.headers.items()
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


async def test_there_is_nothing_else_below_the_page(tmp_path: Path) -> None:
    names = ("/board/", "/board/x.js", "/board/__init__.py", "/board/..%2f__init__.py", "/board")
    async with running(settings(tmp_path)) as service:
        assert service.http_port
        port = service.http_port
        assert {(await get(port, name)).status for name in names} == {404}
        assert (await asyncio.to_thread(page, port, "/", method="POST")).status == 405


def test_the_page_asks_nobody_else() -> None:
    for each in PAGE.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.]+\.\w+", each.read_text())
        assert set(found) <= {"http://www.w3.org"}, each.name


async def caller(port: int, **headers: str) -> tuple[int, dict[str, object]]:
    """Ask who asks."""
    answer = await get(port, "/board/caller", **headers)
    return answer.status, json.loads(answer.text or "{}")


async def test_whoever_asks_an_open_server_may_call_every_method(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as service:
        assert service.http_port
        status, told = await caller(service.http_port)
    assert (status, told) == (200, {"name": "anybody", "methods": list(TABLE)})


@pytest.mark.parametrize("role", list(Role))
async def test_a_caller_is_told_what_its_roles_allow(tmp_path: Path, role: Role) -> None:
    customer = "ada" if role is Role.CUSTOMER else None
    access = write_access(tmp_path / "access.toml", [entry("me", role.value, customer=customer)])
    async with running(settings(tmp_path / "data", access=access)) as service:
        assert service.http_port
        status, told = await caller(service.http_port, Authorization=f"Bearer {key_of('me')}")
    assert (status, told["name"]) == (200, "me")
    methods = told["methods"]
    assert isinstance(methods, list)
    may = {each.rpartition(".")[2] for each in methods}
    assert (ACTIONS & may) == (ACTIONS if role is Role.OPERATOR else set())
    assert ("GetQueueStats" in may) is (role in {Role.OPERATOR, Role.OBSERVER})
    assert ("PlaceOrder" in may) is (role is Role.CUSTOMER)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer stranger"}])
async def test_a_stranger_gets_the_page_and_is_asked_for_a_token(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    access = write_access(tmp_path / "access.toml", [entry("me", "operator")])
    async with running(settings(tmp_path / "data", access=access)) as service:
        assert service.http_port
        asked = await get(service.http_port, "/board/caller", **headers)
        shown = await get(service.http_port, "/")
        seen = await scrape(service.http_port)
    assert (asked.status, asked.text) == (401, "")
    assert asked.headers["WWW-Authenticate"] == "Bearer"
    assert shown.status == 200
    assert seen.value("authentication_failures_total") == 1
