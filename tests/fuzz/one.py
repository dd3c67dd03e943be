"""Fuzzes one target in this process: by coverage with atheris, else by Hypothesis.

It is started by `fuzz.run`, and by hand with the file of an input that failed: that runs it again.

    PYTHONPATH=tests python -m fuzz.one tokens .fuzz/tokens/crash-0123
"""

import argparse
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz.targets import Target

WATCHED = [
    *("fuzz", "orderintake", "orderintake_server", "jwt", "tomllib", "json"),
    "google.protobuf.json_format",
]
"""Whose branches are what an input may find new ones of."""
UNWATCHED = ["orderintake.v1"]
HAS_ATHERIS = find_spec("atheris") is not None


def main() -> None:
    """Fuzz, or run inputs again; an input that fails ends the process with its traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("inputs", nargs="*", type=Path, help="run these again, and no others")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="where inputs are kept that found new branches")
    asked = parser.parse_args()
    if asked.inputs:
        target = _target(asked.target)
        for path in asked.inputs:
            target(path.read_bytes())
    elif HAS_ATHERIS:
        _by_coverage(asked)
    else:
        _by_chance(_target(asked.target), asked.seconds)


def _target(name: str) -> "Target":
    """Import the targets: late, so that a fuzzer may watch the branches of all that they import."""
    from orderintake_server.telemetry import configure_log  # noqa: PLC0415 - as above

    configure_log(form="text", level="critical")
    found: Target = import_module("fuzz.targets").TARGETS[name]
    return found


def _by_coverage(asked: argparse.Namespace) -> None:
    """Let atheris change inputs, and keep those that reach a branch which none reached before."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=WATCHED, exclude=UNWATCHED):
        target = _target(asked.target)
        limits: Any = import_module("fuzz.targets")
    seeds = asked.kept / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        target(seed)
        (seeds / str(number)).write_bytes(seed)
    found = asked.kept / "found"
    found.mkdir(exist_ok=True)
    options = [
        *(f"-max_total_time={asked.seconds}", f"-seed={asked.seed}", "-timeout=30"),
        *(f"-max_len={limits.MOST_BYTES}", f"-artifact_prefix={asked.kept}/", "-verbosity=1"),
        *("-rss_limit_mb=1024", "-print_final_stats=1"),
    ]
    atheris.Setup(["fuzz", *options, str(found), str(seeds)], target)
    atheris.Fuzz()


def _by_chance(target: "Target", seconds: float) -> None:
    """Let Hypothesis change seeds, where atheris cannot be installed."""
    chance: Any = import_module("fuzz.chance")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        chance.check(target, examples=1_000)


if __name__ == "__main__":
    main()
