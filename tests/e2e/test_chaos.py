"""All promises at once: replicas under load on one PostgreSQL, and faults of every kind."""

import os
import random
from pathlib import Path

import pytest
import structlog

from support.chaos import SETTLE_SECONDS, chaos

log = structlog.get_logger()

SECONDS = 30 if os.environ.get("CI") == "true" else 15


@pytest.mark.seconds
@pytest.mark.timeout(SECONDS + 3 * SETTLE_SECONDS + 60)
async def test_p1_p2_p6_p8_p9_p10_p13_p14_p21_p23_chaos_loses_nothing_and_completes_each_order_once(
    tmp_path: Path,
) -> None:
    summary = await chaos(SECONDS, seed=random.randrange(1_000_000), place=tmp_path)
    log.info(str(summary))
