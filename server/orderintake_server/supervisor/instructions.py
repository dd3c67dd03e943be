"""What a worker process is told at its start, as the arguments of its command."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_READERS: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": "True".__eq__,
}
"""What reads a field's text, by its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What to process, how, and for whom."""

    handler: str
    lifespan: str
    """Empty: none."""
    socket: str
    """The path of the Unix socket at which the server has work."""
    drain_timeout: float
    """How many seconds attempts have to end when the process stops."""
    exception_text: bool
    """Whether a failure has the text of an exception that nobody expected."""
    scheduling: str
    """What the system's scheduler gives the process: normal or idle."""
    log_format: str
    log_level: str
    number: int = 0
    """The process's place among the others, from 1 on; this and what follows is its own."""
    slots: int = 0
    """How many orders it processes at once."""
    worker_id: str = ""
    lifeline: int = 0
    """The descriptor of a pipe that ends when the server does."""
    talk: int = 0
    """The descriptor of a socket: a line says that the process is ready, or why it never will be;
    a line in answer lets it take orders."""

    def arguments(self) -> list[str]:
        """Give them as the arguments of a command, for people who list processes too."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [f"--{name.replace('_', '-')}={value}" for name, value in values]

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Self:
        """Read what `arguments` has given. Raises KeyError or ValueError for anything else."""
        given = dict(_pair(argument) for argument in arguments)
        read = {field.name: _READERS[str(field.type)](given[field.name]) for field in fields(cls)}
        return cls(**read)


def _pair(argument: str) -> tuple[str, str]:
    name, _, value = argument.removeprefix("--").partition("=")
    return name.replace("-", "_"), value
