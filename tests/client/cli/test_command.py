"""The command `orderintake`, as one types it."""

import json
import sys

import grpc
import pytest

from client.cli.command import run
from client.fake_server import FakeServer, Refusal
from orderintake.cli import main

FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=2.5)


def test_place_places_one_order(server: FakeServer) -> None:
    result = run(
        server, "place", "--customer", "ada", "--line", "tea=2", "--line", "a=b=1", "--line",
        "milk", "--vip", "--label", "table=5=6", "--request-id", "r1",
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert "VIP" in result.stdout
    assert "order of r1" in result.stdout
    (request,) = server.servicer.requests
    assert [(line.sku, line.quantity) for line in request.lines] == [
        ("tea", 2),
        ("a=b", 1),
        ("milk", 1),
    ]
    assert request.labels == {"table": "5=6"}


@pytest.mark.parametrize(
    ("options", "tier"),
    [((), "REGULAR"), (("--tier", "regular"), "REGULAR"), (("--tier", "vip", "--vip"), "VIP")],
)
def test_place_knows_the_tiers(server: FakeServer, options: tuple[str, ...], tier: str) -> None:
    result = run(server, "place", "--customer", "ada", "--line", "tea", "--json", *options)
    assert json.loads(result.stdout)["order"]["tier"] == f"TIER_{tier}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("place",),
        ("place", "--customer", "ada"),
        ("place", "--line", "tea"),
        ("place", "--customer", "ada", "--line", "tea=x"),
        ("place", "--customer", "ada", "--line", "tea=99999999999"),
        ("place", "--customer", "ada", "--line", "tea", "--label", "x"),
        ("place", "--customer", "ada", "--line", "tea", "--tier", "regular", "--vip"),
        ("place", "--customer", "\udcff", "--line", "tea"),
        ("place", "--file", __file__, "--vip"),
        ("place", "--file", "/no/such/file"),
        ("get",),
        ("watch", "--after", "c1", "--from-latest"),
        ("watch", "--count", "0"),
        ("dance",),
    ],
)
def test_a_wrong_command_exits_with_2(server: FakeServer, arguments: tuple[str, ...]) -> None:
    result = run(server, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
    assert server.servicer.requests == []


def test_a_refusal_is_told_on_standard_error_and_exits_with_1(server: FakeServer) -> None:
    server.servicer.endings.append(FULL)
    result = run(server, "get", "order-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "QUEUE_FULL: no\n  try again in 2.5 s\n"


def test_with_json_a_refusal_is_an_object_too(server: FakeServer) -> None:
    server.servicer.endings.append(FULL)
    result = run(server, "get", "order-1", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(result.stderr) == {
        "code": "UNAVAILABLE",
        "reason": "QUEUE_FULL",
        "message": "no",
        "metadata": {},
        "retry_after": 2.5,
    }


def test_get_shows_an_order(server: FakeServer) -> None:
    assert "completion 1" in run(server, "get", "order-1").stdout
    assert "waiting" in run(server, "get", "waiting").stdout
    assert json.loads(run(server, "get", "order-1", "--json").stdout)["completion"]["cursor"]


def test_the_server_and_the_timeout_are_options(server: FakeServer) -> None:
    result = run(FakeServer(), "--server", server.target, "--timeout", "5", "get", "order-1")
    assert result.exit_code == 0


def test_the_version_is_told(server: FakeServer) -> None:
    assert run(server, "--version").stdout.startswith("orderintake ")


def test_without_its_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "orderintake.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"pip install 'orderintake-client\[cli\]'"):
        main()


def test_another_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orderintake.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["orderintake", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
