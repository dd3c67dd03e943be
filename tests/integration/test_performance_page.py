"""docs/performance.md says what was measured, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.seconds
def test_the_page_and_its_plots_are_what_the_results_say(tmp_path: Path) -> None:
    out = tmp_path / "performance"
    out.mkdir()
    shutil.copy(DOCS / "performance" / "results.json", out)
    command = [sys.executable, str(ROOT / "bench" / "measure.py"), "--draw", "--out", str(out)]
    subprocess.run(command, check=True)
    drawn = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert {path: (DOCS / path).read_bytes() for path in drawn} == drawn
