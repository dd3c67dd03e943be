"""`make fuzz`: every target in turn, or some of them, each in a process of its own."""

import argparse
import subprocess
import sys
from pathlib import Path

from fuzz.one import HAS_ATHERIS
from fuzz.targets import TARGETS

KEPT = Path(".fuzz")
"""Where inputs are kept, from one run to the next: what found new branches, and what failed."""


def main() -> None:
    """Fuzz as the command line says; exit with 1 when a target failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all")
    parser.add_argument("--seconds", type=int, default=300, help="for all of them together")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if not HAS_ATHERIS:
        print("atheris is not installed here: inputs are made by chance, not by coverage")
    each = max(asked.seconds // len(names), 1)
    failed = [name for name in names if not _holds(name, each, asked.seed)]
    for name in failed:
        print(f"{name} FAILED: run it again with: python -m fuzz.one {name} {KEPT / name}/crash-…")
    sys.exit(bool(failed))


def _holds(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one target; tell whether nothing failed, and show what it said if something did."""
    command = [sys.executable, "-m", "fuzz.one", name, f"--seconds={seconds}", f"--seed={seed}"]
    ran = subprocess.run(
        [*command, f"--kept={KEPT / name}"], check=False, capture_output=True, text=True
    )
    said = f"{ran.stdout}{ran.stderr}"
    runs = [line for line in said.splitlines() if "number_of_executed_units" in line]
    print(f"{name}: {'holds' if ran.returncode == 0 else 'failed'}", *runs, flush=True)
    if ran.returncode:
        print("\n".join(said.splitlines()[-40:]), flush=True)
    return ran.returncode == 0


if __name__ == "__main__":
    main()
