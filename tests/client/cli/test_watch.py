"""`orderintake watch`, which one leaves and comes back to."""

import json
import signal
import threading
from pathlib import Path

import pytest

from client.cli.command import lines_of, run, watching
from client.fake_server import UNAVAILABLE, Context, FakeServer, Messages, Silence, started
from orderintake import VIP


def test_watch_shows_completions_from_the_first_on(server: FakeServer) -> None:
    server.servicer.complete(3)
    result = run(server, "watch", "--count", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["1", "VIP"],
        ["2", "regular"],
    ]


def test_watch_goes_on_after_the_cursor_of_any_line(server: FakeServer) -> None:
    server.servicer.complete(3)
    (first,) = lines_of(run(server, "watch", "--count", "1", "--json").stdout)
    after = ("--after", first["cursor"])
    (second,) = lines_of(run(server, "watch", "--count", "1", "--json", *after).stdout)
    assert (first["sequence"], second["sequence"]) == ("1", "2")


def test_watch_begins_with_the_latest_when_asked(server: FakeServer) -> None:
    server.servicer.complete(1)
    with watching(server, "--from-latest", "--count", "1") as (watch, out, _):
        assert server.servicer.begun.acquire(timeout=10)
        server.servicer.complete(1)
        assert out.read().split()[0] == "2"
        assert watch.wait(10) == 0


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_ends_watch_quietly_and_tells_the_cursor(
    server: FakeServer, form: tuple[str, ...]
) -> None:
    server.servicer.complete(2)
    with watching(server, *form) as (watch, out, err):
        assert [out.readline() for _ in range(2)]  # shown at once, though the stream goes on
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        told = err.read()
    if form:
        assert json.loads(told) == {"cursor": "c2"}
    else:
        assert told == "go on with: orderintake watch --after c2\n"


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_watch_tells_when_it_has_to_come_back(server: FakeServer, form: tuple[str, ...]) -> None:
    def drop(context: Context) -> Messages:
        yield started()
        UNAVAILABLE.end(context)

    server.servicer.complete(1)
    server.servicer.scripts.append(drop)
    result = run(server, "watch", "--count", "1", *form)
    told = json.loads(result.stderr)["message"] if form else result.stderr
    assert told.startswith("completion stream lost")
    assert result.exit_code == 0


def test_watch_tells_people_that_the_server_is_back(server: FakeServer) -> None:
    def drop(context: Context) -> Messages:
        yield started()
        UNAVAILABLE.end(context)

    server.servicer.complete(1)
    server.servicer.scripts.append(drop)
    _, back = run(server, "watch", "--count", "1").stderr.splitlines()
    assert back.startswith("completion stream is back after 0.")


def test_ctrl_c_ends_watch_quietly_before_it_began(server: FakeServer) -> None:
    asked = threading.Event()

    def say_nothing(context: Context) -> Messages:
        asked.set()
        Silence().end(context)
        yield started()

    server.servicer.scripts.append(say_nothing)
    with watching(server) as (watch, out, err):
        assert asked.wait(10)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        assert out.read() + err.read() == ""


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_watch_ends_quietly_when_nobody_reads_on(server: FakeServer, form: tuple[str, ...]) -> None:
    server.servicer.complete(1)
    with watching(server, *form) as (watch, out, err):
        assert out.readline()
        out.close()
        server.servicer.complete(1)
        assert watch.wait(10) == 141
        assert err.read() == ""


def test_watch_goes_on_from_its_checkpoint(server: FakeServer, tmp_path: Path) -> None:
    server.servicer.complete(4)
    command = ("watch", "--count", "2", "--json", "--checkpoint", str(tmp_path / "cursor"))
    found = [lines_of(run(server, *command).stdout) for _ in range(2)]
    assert [[line["sequence"] for line in lines] for lines in found] == [["1", "2"], ["3", "4"]]


def test_watch_refuses_a_garbled_checkpoint(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text("")
    result = run(server, "watch", "--checkpoint", str(tmp_path / "cursor"))
    assert result.exit_code == 2
    assert "is no" in result.stderr


def test_watch_asks_for_a_customers_and_a_tiers_only(server: FakeServer) -> None:
    server.servicer.complete(1)
    result = run(server, "watch", "--count", "1", "--customer", "ada", "--tier", "vip")
    assert result.exit_code == 0
    (request,) = server.servicer.requests
    assert (request.customer_id, request.tier) == ("ada", VIP)
