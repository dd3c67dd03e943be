"""The numbered steps that made a store's tables: each is applied once, and never changed."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEAST = re.compile(r"-- least: (\d+)\n")


class Step(NamedTuple):
    """One change of the tables.

    `least` is the release of the server's functions that works with these tables at the least: its
    first line may say so, as `-- least: N`.
    """

    number: int
    least: int
    text: str

    @property
    def checksum(self) -> str:
        """Tell this text from any other: SHA-256, in hexadecimal digits."""
        return checksum(self.text)


def checksum(text: str) -> str:
    """Tell a text from any other: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def steps(package: str) -> list[Step]:
    """Give the steps in the folder `tables` of a package, in their order."""
    folder = resources.files(package).joinpath("tables")
    texts = [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    return [_step(number, text) for number, text in enumerate(texts, start=1)]


def _step(number: int, text: str) -> Step:
    least = _LEAST.match(text)
    return Step(number, int(least[1]) if least else 1, text)


def refuse_changed(known: Sequence[Step], applied: Mapping[int, str]) -> None:
    """Check the steps that were applied, by number with their checksums, against those known here.

    Raises StartupFailed when one of them was another text: the tables are not what this server
    takes them for.
    """
    for step in known:
        if applied.get(step.number, step.checksum) != step.checksum:
            raise StartupFailed(
                f"step {step.number} of the store's schema was applied with another text than this "
                "server has; its tables may differ: start the version that made the store"
            )
