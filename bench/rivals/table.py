"""What is measured beside: a table, each with what its acknowledgement promises."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rivals import brokers
from rivals.brokers import BINARIES, Broker


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One of them: its module, its broker, and what an acknowledgement means."""

    module: str
    broker: Callable[[Path], AbstractContextManager[Broker]]
    promise: str
    priority: str
    python: Path = BINARIES / "python"

    @property
    def is_one_process(self) -> bool:
        """Tell whether what takes orders processes them too."""
        return self.broker is brokers.none


OWN = Path(sys.executable)
RIVALS = {
    "orderintake": Rival(
        module="ours",
        broker=brokers.none,
        promise="flushed to disk; it completes exactly once, and its subscriber will know",
        priority="strict, over all that wait",
        python=OWN,
    ),
    "the article's service": Rival(
        module="article",
        broker=brokers.none,
        promise="it is in memory",
        priority="strict, over all that wait",
        python=OWN,
    ),
    "Procrastinate, PostgreSQL": Rival(
        module="procrastinate",
        broker=brokers.postgresql,
        promise="flushed to disk; one whose worker dies stays `doing` until somebody retries it",
        priority="by a job's number",
    ),
    "Celery, Redis": Rival(
        module="celery",
        broker=brokers.redis,
        promise="flushed to disk (appendfsync always); redelivered an hour after its worker died",
        priority="a list for each, the first one first",
    ),
    "SAQ, Redis": Rival(
        module="saq",
        broker=brokers.redis,
        promise="flushed to disk (appendfsync always); swept up some time after its worker died",
        priority="none",
    ),
    "RabbitMQ, quorum queue": Rival(
        module="rabbitmq",
        broker=brokers.rabbitmq,
        promise="flushed to disk; delivered at least once",
        priority="a queue for each tier",
    ),
    "NATS JetStream": Rival(
        module="nats",
        broker=brokers.nats,
        promise="flushed to disk (sync_interval: always); delivered at least once",
        priority="a stream for each tier",
    ),
}
