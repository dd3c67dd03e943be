"""The four lines under "Who may call" in README.md, as they stand there, in a fresh shell."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.program import free_port

README = Path(__file__).parents[2] / "README.md"
PROGRAMS = Path(sys.executable).parent


def lines() -> list[str]:
    """Take the lines out of the README, without their comments."""
    section = README.read_text().partition("## Who may call")[2].partition("\n## ")[0]
    found = re.findall(r"^    (orderintake.*|export .*)$", section, re.MULTILINE)
    return [line.partition(" #")[0].strip() for line in found]


class Shell:
    """A fresh shell in an empty folder, whose server has a port of its own."""

    def __init__(self, folder: Path) -> None:
        place = f"127.0.0.1:{free_port()}"
        self.folder = folder
        self.environment = {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.defpath}",
            "HOME": str(folder),
            "ORDERINTAKE_LISTEN": place,
            "ORDERINTAKE_SERVER": place,
            "LANG": "C.UTF-8",
        }

    def run(self, *typed: str) -> subprocess.CompletedProcess[str]:
        """Run some lines to their end."""
        command = ["bash", "-c", "\n".join(typed)]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    @contextmanager
    def serving(self, typed: str) -> Iterator[None]:
        """Run the line of a server meanwhile."""
        command = ["bash", "-c", f"exec {typed}"]
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stderr
            try:
                assert any("listening" in line for line in server.stderr)
                yield
            finally:
                server.kill()


@pytest.mark.always
def test_the_four_lines_work_as_they_stand(tmp_path: Path) -> None:
    add, serve, export, place = lines()
    shell = Shell(tmp_path)
    key = shell.run(add).stdout.strip()
    assert re.fullmatch(r"oik_[\w-]{43}", key)
    assert export == "export ORDERINTAKE_API_KEY=oik_…"
    with shell.serving(serve):
        placed = shell.run(export.replace("oik_…", key), place)
        assert (placed.returncode, placed.stderr) == (0, "")
        assert placed.stdout.startswith("placed  VIP")
        refused = shell.run(place)
    assert refused.returncode == 77
    assert "give --api-key-file or ORDERINTAKE_API_KEY" in refused.stderr
    assert key not in (tmp_path / "access.toml").read_text()
