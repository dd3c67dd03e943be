"""An outage is told once, then once a minute, then its end."""

from orderintake_server.errors import StoreAway
from orderintake_server.store.postgres.heartbeat import TELL_SECONDS, Outage
from support.clocks import Seconds
from support.logs import capture_logs


def test_an_outage_is_told_at_once_then_once_a_minute_then_its_end() -> None:
    clock = Seconds()
    outage = Outage("heartbeat", clock)
    with capture_logs() as logs:
        outage.is_over()
        for _ in range(150):
            outage.goes_on(StoreAway("PostgreSQL cannot be reached"))
            clock.turn(1)
        outage.is_over()
        outage.is_over()
    assert [(line["event"], line["seconds"]) for line in logs] == [
        ("the database is away", 0.0),
        ("the database is away", TELL_SECONDS),
        ("the database is away", 2 * TELL_SECONDS),
        ("the database is there again", 150.0),
    ]
