"""The lines of curl in README.md, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.http_port import http_port
from support.process import server_process

README = (Path(__file__).parents[2] / "README.md").read_text()
LINES = re.findall(r"^    (curl (?:.*\\\n)*.*)$", README, re.MULTILINE)
THERE = "127.0.0.1:8080"


@pytest.mark.always
def test_an_order_is_placed_and_its_completion_comes(tmp_path: Path) -> None:
    if not shutil.which("curl") and "CI" not in os.environ:
        pytest.skip("no curl")
    place, follow = LINES
    with server_process(tmp_path, "--http", "127.0.0.1:0") as server:
        here = f"127.0.0.1:{http_port(server)}"
        command = ["/bin/sh", "-c", place.replace(THERE, here)]
        placed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        command = ["/bin/sh", "-c", f"exec {follow.replace(THERE, here)}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout
            told = next(line for line in following.stdout if '"order"' in line)
            following.kill()
    order = json.loads(placed.stdout)["order"]
    assert order["tier"] == "TIER_VIP"
    assert json.loads(told.removeprefix("data:"))["order"]["orderId"] == order["orderId"]
