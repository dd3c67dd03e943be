"""What was measured, kept as JSON: each part as its last run found it, turn by turn.

{"parts": {PART: {"run": {when, commit, turns, ...}, "now": {CASE: {NUMBER: [of each turn]}}}}}
"""

import json
import os
import platform
import re
import sqlite3
import statistics
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_NUMBERS = re.compile(r"\[[\s\d.,e+-]+\]")
CHANGED = ("status", "--short", "client", "server", "bench")
LIBRARIES = ("grpcio", "protobuf", "uvloop", "aiohttp", "asyncpg")


@dataclass(frozen=True)
class Spread:
    """A median, and the lowest and highest of all turns."""

    middle: float
    low: float
    high: float


def spread(turns: list[float]) -> Spread:
    """Give the median and the ends."""
    return Spread(statistics.median(turns), min(turns), max(turns))


class Results:
    """The file, as it was read."""

    def __init__(self, file: Path) -> None:
        """Read it, if it is there."""
        self._file = file
        self._all = json.loads(file.read_text()) if file.exists() else {"parts": {}}

    def keep(self, part: str, found: dict[str, Any]) -> None:
        """Put a part in the place of what was found of it before, and write the file."""
        self._all["parts"] = dict(sorted((self._all["parts"] | {part: found}).items()))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._all, indent=1, ensure_ascii=False)
        text = _NUMBERS.sub(lambda turns: " ".join(turns[0].split()), text)  # a line for each
        self._file.write_text(f"{text}\n")

    def part(self, name: str) -> dict[str, Any] | None:
        """Give what was found of a part; None when it was never measured."""
        found: dict[str, Any] | None = self._all["parts"].get(name)
        return found

    def turns(self, part: str, case: str, number: str, when: str = "now") -> list[float]:
        """Give a number of each turn of a case; empty when it was not measured."""
        found: list[float] = (self.part(part) or {}).get(when, {}).get(case, {}).get(number, [])
        return found

    def spread(self, part: str, case: str, number: str, when: str = "now") -> Spread | None:
        """Give the median and the ends of a number of a case; None when it was not measured."""
        turns = self.turns(part, case, number, when)
        return spread(turns) if turns else None

    def ratio(  # noqa: PLR0913 - which two
        self,
        part: str,
        case: str,
        against: str,
        number: str = "cpu_us",
        *,
        when: str = "now",
        than: str = "now",
    ) -> Spread | None:
        """Divide turn by turn; `when`, `than`: of this tree (now) or of the other one (before)."""
        over = self.turns(part, case, number, when)
        under = self.turns(part, against, number, than)
        pairs = list(zip(over, under, strict=False))
        return spread([one / other for one, other in pairs]) if pairs else None


def about(**more: object) -> dict[str, Any]:
    """Tell when, on what and of which commit; no name and no path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _git("rev-parse", "--short=10", "HEAD") + ("+" if _git(*CHANGED) else ""),
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {kernel}",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **{name: version(name) for name in LIBRARIES},
        },
        **more,
    }


def _git(*words: str) -> str:
    command = ("git", *words)
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    return done.stdout.strip()
