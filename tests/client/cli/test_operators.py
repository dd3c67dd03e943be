"""The operators' commands: stats, pause, resume, redrive, actions."""

import json
import signal

import grpc
import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner, Result

from client.cli.command import lines_of, program, run
from client.fake_server import FakeServer, Refusal
from orderintake import REGULAR, VIP, Client
from orderintake.cli.screen import Screen
from orderintake.cli.stats import follow
from orderintake.v1 import order_admin_service_pb2 as admin

NOT_REDRIVABLE = Refusal(
    code=grpc.StatusCode.FAILED_PRECONDITION, reason="ORDER_NOT_REDRIVABLE", message="it runs"
)


class Nothing:
    """Lets a call be answered."""

    def end(self, context: grpc.ServicerContext) -> None:
        pass


def test_stats_shows_a_table(server: FakeServer) -> None:
    result = run(server, "stats")
    assert (result.exit_code, result.stderr) == (0, "")
    head, vip, regular, caption, figures = (line.split() for line in result.stdout.splitlines())
    assert head[:4] == ["tier", "queued", "scheduled", "processing"]
    assert vip == ["VIP", "3", "2", "0", "4.2", "s", "1.2", "0.0", "paused"]
    assert regular == ["regular", "0", "0", "1", "0.0", "0.5"]
    assert caption == ["8", "workers,", "7", "completions,", "2", "subscribers"]
    assert " ".join(figures) == "3 stuck attempts, 0 stalls of the event loop"


def test_stats_as_json_is_one_line(server: FakeServer) -> None:
    (found,) = lines_of(run(server, "stats", "--json").stdout)
    assert found["tiers"][0]["oldest_waiting_age"] == "4.250s"
    assert (found["stuck_attempts"], found["loop_stalls"]) == (3, "0")


@pytest.fixture
def thrice(server: FakeServer) -> FakeServer:
    """A server that tells three times how the queue stands, then refuses."""
    server.servicer.endings += [Nothing()] * 3
    server.servicer.endings.append(Refusal(code=grpc.StatusCode.UNAVAILABLE))
    return server


def watched(server: FakeServer, *, as_json: bool = False, **environment: str) -> Result:
    """What `stats --watch` does, but without its pauses."""
    app = typer.Typer()

    @app.command()
    def stats() -> None:
        screen = Screen(as_json=as_json)
        with screen.failures(), Client(server.target) as client:
            follow(client, screen, period_seconds=0)

    return CliRunner().invoke(app, env=environment)


def test_stats_watched_in_a_pipe_is_a_table_each_time(thrice: FakeServer) -> None:
    result = watched(thrice)
    assert (result.exit_code, result.stderr) == (1, "UNAVAILABLE: no\n")
    assert result.stdout.count("7 completions") == 3


def test_stats_watched_as_json_is_a_line_each_time(thrice: FakeServer) -> None:
    result = watched(thrice, as_json=True)
    assert len(lines_of(result.stdout)) == 3


def test_stats_watched_on_a_terminal_is_one_table_that_changes(thrice: FakeServer) -> None:
    result = watched(thrice, TTY_COMPATIBLE="1", TERM="xterm")
    assert result.exit_code == 1
    assert result.stdout.count("7 completions") >= 3
    assert "\x1b[1A" in result.stdout  # up a line, and again over what was there


def test_ctrl_c_ends_stats_quietly(server: FakeServer) -> None:
    with program(server, "stats", "--watch", "--json") as watch:
        assert watch.stdout
        assert watch.stderr
        try:
            assert watch.stdout.readline()
            watch.send_signal(signal.SIGINT)
            assert watch.wait(10) == 130
            assert watch.stderr.read() == ""
        finally:
            watch.kill()


def test_a_tier_is_paused_and_resumed(server: FakeServer) -> None:
    assert run(server, "pause", "vip").stdout == "paused  vip\n"
    assert run(server, "resume", "regular").stdout == "resumed  regular\n"
    assert [request.tier for request in server.servicer.requests] == [VIP, REGULAR]
    paused = run(server, "pause", "vip", "--json")
    assert json.loads(paused.stdout) == {"tier": "TIER_VIP", "paused": True}


def test_redrive_shows_the_copy(server: FakeServer) -> None:
    result = run(server, "redrive", "order-1")
    assert result.stdout == (
        "redriven  VIP      queued      order-2  ada  2 x tea  copy of order-1\n"
    )
    assert run(server, "redrive", "known").stdout.startswith("replayed  VIP")
    assert json.loads(run(server, "redrive", "known", "--json").stdout)["replayed"] is True


ACTIONS = [
    admin.OperatorAction(
        sequence=3,
        time=Timestamp(seconds=1_800_000_000),
        action=admin.ACTION_REDRIVE_ORDER,
        order_id="order-1",
        copy_order_id="order-2",
        caller="eve\x1b",
        peer="unix:",
    ),
    admin.OperatorAction(
        sequence=2, action=admin.ACTION_PAUSE_TIER, tier=VIP, caller="boss", peer="ipv4:192.0.2.7:1"
    ),
    admin.OperatorAction(sequence=1, action=99, order_id="order-1", caller="boss"),  # type: ignore[arg-type]
]


def test_actions_are_shown_with_who_did_them(server: FakeServer) -> None:
    server.servicer.actions = ACTIONS
    assert run(server, "actions").stdout.splitlines() == [
        "2027-01-15T08:00:00Z  redrive order  order-1 as order-2  by eve?  unix:",
        "1970-01-01T00:00:00Z  pause tier     VIP  by boss  ipv4:192.0.2.7:1",
        "1970-01-01T00:00:00Z  99             order-1  by boss  ",
    ]
    found = json.loads(run(server, "actions", "--json").stdout.splitlines()[1])
    assert (found["action"], found["tier"], found["caller"]) == (
        "ACTION_PAUSE_TIER",
        "TIER_VIP",
        "boss",
    )


def test_as_many_actions_as_are_wanted_are_shown(server: FakeServer) -> None:
    result = run(server, "actions", "--order", "order-1", "--limit", "3", "--json")
    assert [each["sequence"] for each in lines_of(result.stdout)] == ["5", "4", "3"]
    (request,) = server.servicer.requests
    assert (request.order_id, request.page_size) == ("order-1", 3)


def test_a_refusal_exits_with_1(server: FakeServer) -> None:
    server.servicer.endings.append(NOT_REDRIVABLE)
    result = run(server, "redrive", "order-1")
    assert (result.exit_code, result.stderr) == (1, "ORDER_NOT_REDRIVABLE: it runs\n")


@pytest.mark.parametrize("arguments", [("pause",), ("pause", "gold"), ("redrive", "\udcff")])
def test_a_wrong_command_exits_with_2(server: FakeServer, arguments: tuple[str, ...]) -> None:
    assert run(server, *arguments).exit_code == 2
    assert server.servicer.requests == []


def test_stats_as_json_keep_their_zeros(server: FakeServer) -> None:
    found = json.loads(run(server, "stats", "--json").stdout)
    vip, regular = found["tiers"]
    assert (vip["processing"], vip["completion_rate"], vip["paused"]) == ("0", 0.0, True)
    assert (regular["queued"], regular["accept_rate"], regular["paused"]) == ("0", 0.0, False)
    assert "oldest_waiting_age" not in regular  # no order waits, which is not an age of zero
