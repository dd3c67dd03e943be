"""The demo of README.md runs as a newcomer runs it."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "docs" / "demo.py"
PICTURES = [ROOT / "docs" / f"board-{theme}.png" for theme in ("light", "dark")]
MOST_BYTES = 200_000
PNG = b"\x89PNG\r\n\x1a\n"


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


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_the_readme_shows_a_picture_of_the_board_of_modest_size(picture: Path) -> None:
    assert f"docs/{picture.name}" in (ROOT / "README.md").read_text()
    drawn = picture.read_bytes()
    assert drawn.startswith(PNG)
    assert len(drawn) < MOST_BYTES


def test_make_run_takes_another_port_for_the_board_where_its_own_is_taken() -> None:
    with ExitStack() as held:
        with suppress(OSError):  # another program has it
            held.enter_context(socket.create_server(("127.0.0.1", 8080)))
        make = (shutil.which("make") or "make", "-n", "run", f"PYTHON={sys.executable}")
        said = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "--http 127.0.0.1:0" in said
