"""The command servers: whether each server is alive, since when, and what it holds."""

import pytest

from orderintake_server.commands import COMMANDS
from orderintake_server.store.postgres import heartbeat
from orderintake_server.store.postgres.heartbeat import Replica

ELSE = "without another heartbeat its orders are taken over in"
OVERDUE = "its heartbeats are overdue by"
LISTED = [
    Replica(name="north", workers=8, in_process=3, up_seconds=97_200.4, lease_seconds=11.2),
    Replica(name="south", workers=0, in_process=0, up_seconds=61.0, lease_seconds=0.2),
    Replica(name="west", workers=1, in_process=1, up_seconds=8_000.0, lease_seconds=-7.4),
]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (
            LISTED,
            [
                f"north: 8 workers, 3 orders in process, alive for 1 d 3 h ({ELSE} 11 s)",
                f"south: 0 workers, 0 orders in process, alive for 1 min 1 s ({ELSE} 0 s)",
                f"west: 1 workers, 1 orders in process, dead or frozen: {OVERDUE} 7 s",
            ],
        ),
        ([], ["no server uses the store"]),
    ],
)
def test_each_server_is_told_in_a_line(
    listed: list[Replica],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def found(_: object) -> list[Replica]:
        return listed

    monkeypatch.setattr(heartbeat, "replicas", found)
    assert COMMANDS["servers"](["--store", "postgresql://shop@127.0.0.1/shop"]) == 0
    assert capsys.readouterr().out.splitlines() == said
