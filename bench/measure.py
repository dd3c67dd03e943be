"""Measures: each part that is asked for, or all; keeps what was found, and draws the page of it.

Parts that are not measured keep what was found before. `--against REF` measures an older commit
too, turn by turn beside this tree, with the libraries of this environment.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import page
from parts import LONG, PARTS
from ratios import RATIOS
from results import Results, about
from turns import Part, Run

ROOT = Path(__file__).parents[1]
OUT = ROOT / ".bench" / "performance"
QUICK_SHARE, QUICK_TURNS = 0.25, 3


@contextmanager
def tree_of(commit: str) -> Iterator[Path | None]:
    """Unpack a commit's packages while inside; nothing for no commit."""
    if not commit:
        yield None
        return
    command = ("git", "archive", commit, "client", "server")
    packed = io.BytesIO(subprocess.check_output(command, cwd=ROOT))
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder)


def measure(name: str, part: Part, asked: argparse.Namespace, tree: Path | None) -> Run:
    """Measure a part."""
    print(f"{name}: {part.told}", file=sys.stderr)
    turns = asked.turns or (min(part.turns, QUICK_TURNS) if asked.quick else part.turns)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        share = QUICK_SHARE if asked.quick else 1.0
        run = Run(folder=Path(folder), turns=turns, share=share, tree=tree)
        run.measure(part, lambda said: print(f"{name}: {said}", file=sys.stderr, flush=True))
    return run


def report(results: Results, name: str) -> None:
    """Print a part's medians, and its ratios with their goals."""
    found = results.part(name) or {}
    for when in ("now", "before"):
        for case in found.get(when, {}):
            spreads = {
                number: results.spread(name, case, number, when) for number in found[when][case]
            }
            told = "  ".join(
                f"{number} {seen.middle:,.4g} ({seen.low:,.4g} to {seen.high:,.4g})"
                for number, seen in spreads.items()
                if seen
            )
            print(f"{case if when == 'now' else case + ', before':34} {told}")
    for ratio in RATIOS:
        if ratio.part == name and (is_now := ratio.of(results)):
            before = ratio.of(results, "before")
            was = f", before {before.middle:.2f}" if before else ""
            print(
                f"{ratio.told:66} {is_now.middle:5.2f} ({is_now.low:.2f} to {is_now.high:.2f}{was})"
                f" of {ratio.floor}; goal {ratio.goal}, least {ratio.least}:"
                f" {ratio.verdict(is_now)}"
            )


def main() -> None:
    """Measure, keep, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all but {', '.join(LONG)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer orders, fewer turns")
    parser.add_argument("--turns", type=int, default=0, help="of each case, instead of its own")
    parser.add_argument("--against", default="", metavar="REF", help="an older commit, beside")
    parser.add_argument("--out", type=Path, default=OUT, help="for what was found")
    parser.add_argument("--draw", action="store_true", help="measure nothing, write the page")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    results = Results(asked.out / "results.json")
    usual = [name for name in PARTS if name not in LONG]
    with tree_of(asked.against) as tree:
        for name in [] if asked.draw else asked.parts or usual:
            run = measure(name, PARTS[name], asked, tree)
            told = about(turns=run.turns, quick=asked.quick, against=asked.against)
            results.keep(name, {"run": told, "now": run.now, "before": run.before})
            report(results, name)
    page.write(results, asked.out)


if __name__ == "__main__":
    main()
