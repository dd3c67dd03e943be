"""The project's wheels: built from this folder, and installed in an environment of their own."""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command: str | Path) -> str:
    """Give what the command printed. It must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def build(package: str, place: Path) -> Path:
    """Build the wheel of the package in this folder of the project, from its sdist."""
    target = place / package
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", target)
    run(*command, ROOT / package)
    (wheel,) = target.glob("*.whl")
    return wheel


def environment(place: Path, *wheels: Path) -> Path:
    """Make an environment with these wheels and what they ask for; give its interpreter."""
    venv.create(place / "venv")
    python = place / "venv" / "bin" / "python"
    constraint = ("--constraint", _pins_without_hashes(place))
    run(*_PIP, "--python", python, "install", "--quiet", *constraint, *wheels)
    return python


def installed(python: Path) -> set[str]:
    """Name the packages in the environment of this interpreter."""
    listed = json.loads(run(*_PIP, "--python", python, "list", "--format", "json"))
    return {package["name"].replace("_", "-") for package in listed}


def _pins_without_hashes(place: Path) -> Path:
    """Write the development pins as pip takes constraints: no extras, and no hash for any."""
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    pinned = [line.rstrip(" \\") for line in lines if not line.startswith(" ")]
    pins = place / "pins.txt"
    pins.write_text("\n".join(re.sub(r"\[.*?\]", "", line) for line in pinned))
    return pins
