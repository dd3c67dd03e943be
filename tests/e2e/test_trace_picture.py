"""The picture of a trace in the docs is drawn from a real run, and shows every step of it."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "trace_picture.py"
SPANS = [
    ("CLIENT PlaceOrder", "caller"),
    ("SERVER PlaceOrder", "server"),
    ("CONSUMER process, attempt 1", "server"),
    ("bake", "shop"),
    ("CONSUMER process, attempt 2", "server"),
    ("bake", "shop"),
    ("CONSUMER deliver", "subscriber"),
]


def texts(picture: Path) -> list[str]:
    """Read what is written in a picture, from above to below."""
    root = ET.fromstring(picture.read_text())  # noqa: S314 - our own
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def shown(found: list[str]) -> list[tuple[str, str]]:
    """Give the spans of a picture: name, and who recorded it."""
    pairs = pairwise(found)
    return [(name, who.partition(" · ")[0]) for name, who in pairs if " · " in who]


def assert_is_whole(picture: Path) -> None:
    found = texts(picture)
    assert shown(found) == SPANS
    assert {"OK", "HANDLER_ERROR", "linked"} <= {*found}
    assert any(re.fullmatch(r"One order, one trace: [0-9a-f]{32}", text) for text in found)


@pytest.mark.seconds
def test_the_script_draws_a_trace_from_the_caller_to_the_subscriber(tmp_path: Path) -> None:
    picture = tmp_path / "trace.svg"
    command = [sys.executable, str(SCRIPT), str(picture)]
    subprocess.run(command, check=True, capture_output=True, timeout=50)
    assert_is_whole(picture)


def test_the_picture_in_the_docs_is_one_of_them() -> None:
    assert_is_whole(ROOT / "docs" / "trace.svg")
