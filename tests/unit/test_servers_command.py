"""The command servers: whether each server is alive, since when, and what it holds."""

import pytest

from orderintake_server.commands import COMMANDS
from orderintake_server.store.postgres.others import listed as listed_replicas
from orderintake_server.store.postgres.others.listed import Replica

FROZEN = "dead or frozen: its last heartbeat came"
LISTED = [
    Replica("north", 8, 3, up_seconds=97_200.4, lease_seconds=11.2, silent_seconds=3.8),
    Replica("south", 0, 0, up_seconds=61.0, lease_seconds=0.2, silent_seconds=14.8),
    Replica("west", 1, 1, up_seconds=8_000.0, lease_seconds=-107.4, silent_seconds=122.4),
]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (
            LISTED,
            [
                "north: 8 workers, 3 orders in process, alive for 1 d 3 h, last heartbeat 4 s ago",
                (
                    "south: 0 workers, 0 orders in process, "
                    "alive for 1 min 1 s, last heartbeat 15 s ago"
                ),
                f"west: 1 workers, 1 orders in process, {FROZEN} 2 min 2 s ago",
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

    monkeypatch.setattr(listed_replicas, "replicas", found)
    assert COMMANDS["servers"](["--store", "postgresql://shop@127.0.0.1/shop"]) == 0
    assert capsys.readouterr().out.splitlines() == said
