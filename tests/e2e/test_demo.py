"""The demo of README.md runs as a newcomer runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "docs" / "demo.py"


@pytest.mark.always
def test_the_demo_shows_vip_orders_passing_regular_ones() -> None:
    end = subprocess.run(
        [sys.executable, str(DEMO)], timeout=50, check=False, capture_output=True, text=True
    )
    assert end.returncode == 0, end.stderr
    assert re.search(r"^The board: http://127\.0\.0\.1:\d+/ ", end.stdout)
    told = re.search(
        r"VIP orders waited ([\d.]+) s on average, regular ones ([\d.]+) s", end.stdout
    )
    assert told
    vip, regular = map(float, told.groups())
    assert vip < regular
    assert "Completions came in order, none missing: True." in end.stdout
