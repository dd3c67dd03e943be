"""The one way to measure: cases of servers that run side by side take turns under load.

What else runs on the machine disturbs all alike, and each turn of a case stands beside one of every
other. A turn tells numbers by name; of these `cpu_us`, the server's processor time for each order,
depends the least on what else runs.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from servers import Server, bare_server, order_server

Turn = dict[str, float]
Drive = Callable[[Any, int], Turn]
"""Lets a subject, most often a server, deal with so many orders; tells what was seen."""


class LeftOut(Exception):
    """What a case needs is not there."""


Found = dict[str, dict[str, list[float]]]
"""Of each case, each number of each turn."""


class Start(Protocol):
    """Starts what is driven."""

    @property
    def is_ours(self) -> bool:
        """Tell whether another tree of this project has it too."""

    def start(self, folder: Path, tree: Path | None) -> AbstractContextManager[Any]:
        """Run it while inside, with an empty folder of its own; `tree`: as that tree has it."""


@dataclass(frozen=True)
class Ours:
    """Our server, with these options."""

    options: tuple[str, ...] = ()
    is_ours = True

    def start(self, folder: Path, tree: Path | None) -> AbstractContextManager[Server]:
        """Run it."""
        return order_server(folder, *self.options, tree=tree)


@dataclass(frozen=True)
class Bare:
    """A script beside this one that prints its port."""

    script: str
    arguments: tuple[str, ...] = ()
    is_ours = False

    def start(self, _: Path, __: Path | None) -> AbstractContextManager[Server]:
        """Run it."""
        return bare_server(self.script, *self.arguments)


class Folder:
    """Nothing but a folder on the disk."""

    is_ours = False

    @contextmanager
    def start(self, folder: Path, _: Path | None) -> Iterator[Path]:
        """Give the folder."""
        yield folder


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure: on which server, how it is driven, with how many orders in a turn."""

    on: str
    drive: Drive
    orders: int
    unit: int = 100
    """Of so many orders a turn is a multiple."""
    fixed: bool = False
    """Whether all turns are of the same size, also short ones."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is measured together, in one run."""

    told: str
    """What it measures, in a sentence."""
    servers: Mapping[str, Start]
    cases: Mapping[str, Case]
    turns: int = 5
    warm_up: float = 0.2
    """Before the first turn each case is driven with this share of its orders; 0: it is not."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a part is measured this time."""

    folder: Path
    turns: int
    share: float = 1.0
    """Of the orders of a turn."""
    tree: Path | None = None
    """Another tree of this project, measured beside this one."""
    now: Found = field(default_factory=dict)
    before: Found = field(default_factory=dict)

    def measure(self, part: Part, say: Callable[[str], None]) -> None:
        """Let all cases take turns; put what was found into `now` and `before`."""
        with ExitStack() as stack:
            say("starting")
            driven = list(self._warm(part, self._started(part, stack), say))
            for turn in range(self.turns):
                say(f"turn {turn + 1} of {self.turns}")
                for name, case, subject, found in reversed(driven) if turn % 2 else driven:
                    try:
                        seen = case.drive(subject, self._orders(case))
                    except LeftOut as why:
                        say(f"{name} is left out: {why}")
                        continue
                    for number, one in seen.items():
                        of_case = found.setdefault(name, {})
                        of_case.setdefault(number, []).append(float(f"{one:.5g}"))

    def _started(self, part: Part, stack: ExitStack) -> dict[tuple[str, Path | None], Any]:
        """Start all servers, ours of both trees."""
        subjects = {}
        for tree in dict.fromkeys((None, self.tree)):
            for name, start in part.servers.items():
                if start.is_ours or tree is None:
                    folder = self.folder / f"{name.replace(' ', '-')}-{'before' if tree else 'now'}"
                    folder.mkdir(mode=0o700)
                    subjects[name, tree] = stack.enter_context(start.start(folder, tree))
        return subjects

    def _warm(
        self,
        part: Part,
        subjects: Mapping[tuple[str, Path | None], Any],
        say: Callable[[str], None],
    ) -> Iterator[tuple[str, Case, Any, Found]]:
        """Drive each case a little, and give it with what it drives; those of both trees together.

        What cannot be driven there is left out.
        """
        for (name, case), tree in product(part.cases.items(), dict.fromkeys((None, self.tree))):
            if (case.on, tree) not in subjects:
                continue
            subject = subjects[case.on, tree]
            try:
                if part.warm_up:
                    case.drive(subject, self._orders(case, part.warm_up))
            except LeftOut as why:
                say(f"{name}{', before' if tree else ''} is left out: {why}")
            else:
                yield name, case, subject, self.before if tree else self.now

    def _orders(self, case: Case, share: float = 1.0) -> int:
        if case.fixed:
            return case.orders
        units = round(case.orders * share * self.share / case.unit)
        return max(units, 1) * case.unit


def timed(server: Server, orders: int, drive: Callable[[], Turn | None]) -> Turn:
    """Drive once; tell the rate, and the server's processor time for each order, by thread too."""
    began, worked, threads = time.perf_counter(), server.cpu_seconds(), server.threads()
    more = drive() or {}
    seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - worked
    turn = {"per_second": orders / seconds, "cpu_us": cpu / orders * 1e6} | more
    for (whose, thread), ran in server.threads().items():
        spent = (ran - threads.get((whose, thread), 0.0)) / orders * 1e6
        turn[f"{whose}_us"] = turn.get(f"{whose}_us", 0.0) + spent
    return turn
