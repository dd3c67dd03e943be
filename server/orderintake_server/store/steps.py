"""The numbered steps that make a store's tables: each is applied once and never changed."""

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

    `least` is the oldest release of the server's functions that works with these tables. The
    step's first line may set it, as `-- least: N`; without that it is 1.
    """

    number: int
    least: int
    text: str

    @property
    def checksum(self) -> str:
        """The checksum of this step's text, as `checksum` computes it."""
        return checksum(self.text)


def checksum(text: str) -> str:
    """Return the checksum of a text: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def steps(package: str) -> list[Step]:
    """Return the steps in the folder `tables` of a package, in their order."""
    folder = resources.files(package).joinpath("tables")
    texts = [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    return [_step(number, text) for number, text in enumerate(texts, start=1)]


def _step(number: int, text: str) -> Step:
    least = _LEAST.match(text)
    return Step(number, int(least[1]) if least else 1, text)


def refuse_changed(known: Sequence[Step], applied: Mapping[int, str]) -> None:
    """Compare the steps that were applied (number to checksum) with those that this server knows.

    Raises StartupFailed when a step was applied with another text: the tables may not be what this
    server expects.
    """
    for step in known:
        if applied.get(step.number, step.checksum) != step.checksum:
            raise StartupFailed(
                f"step {step.number} of the store's schema was applied with another text than this "
                "server has; its tables may differ: start the version that made the store"
            )
