"""All promises of workers at once: they and their servers are killed, and answers are lost."""

import os
import random
from pathlib import Path

import pytest
import structlog

from support.chaos import SETTLE_SECONDS
from support.worker_chaos import worker_chaos
from support.worker_chaos_shop import SERVERS

log = structlog.get_logger()

SECONDS = 20 if os.environ.get("CI") == "true" else 12


@pytest.mark.seconds
@pytest.mark.timeout(SECONDS + 2 * SETTLE_SECONDS + 60)
@pytest.mark.parametrize("kind", SERVERS)
async def test_w2_w3_w4_w6_w7_w8_w11_chaos_of_workers_loses_nothing_and_charges_each_death_once(
    kind: str, tmp_path: Path
) -> None:
    summary = await worker_chaos(kind, SECONDS, seed=random.randrange(1_000_000), place=tmp_path)
    log.info(str(summary))
