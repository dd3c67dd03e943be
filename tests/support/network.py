"""A network of the test's own, whose cable can be pulled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

from support.program import WORKER

SERVER_IP, CLIENT_IP = f"10.213.{77 + WORKER}.2", f"10.213.{77 + WORKER}.1"
_NUMBERS = count()


@dataclass(frozen=True)
class Cable:
    """A network namespace at the other end of a pair of interfaces."""

    namespace: str
    inside: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to begin a command with that shall run in the namespace."""
        return ("ip", "netns", "exec", self.namespace)

    def pull(self) -> None:
        """Drop every packet, both ways, without a word."""
        self._set("down")

    def plug(self) -> None:
        """Forward them again."""
        self._set("up")

    def _set(self, state: str) -> None:
        _run(*self.prefix, "ip", "link", "set", self.inside, state)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)


def obstacle() -> str:
    """Tell why this machine has no such network; nothing when it has."""
    if not shutil.which("ip"):
        return "there is no `ip`"
    try:
        with cable():
            return ""
    except subprocess.CalledProcessError as error:
        return f"no network namespace: {error.stderr.decode().strip()}"


@contextmanager
def cable() -> Iterator[Cable]:
    """Make the namespace and its cable; take them away at the end."""
    number = f"{os.getpid()}x{next(_NUMBERS)}"  # the ends of one taken away go a little later
    made = Cable(f"orderintake-{number}", f"oi{number}b")
    outside = f"oi{number}a"
    _run("ip", "netns", "add", made.namespace)
    try:
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", made.inside)
        _run("ip", "link", "set", made.inside, "netns", made.namespace)
        _run("ip", "addr", "add", f"{CLIENT_IP}/30", "dev", outside)
        _run("ip", "link", "set", outside, "up")
        _run(*made.prefix, "ip", "addr", "add", f"{SERVER_IP}/30", "dev", made.inside)
        _run(*made.prefix, "ip", "link", "set", "lo", "up")
        made.plug()
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):  # perhaps it was never made
            _run("ip", "link", "del", outside)
        _run("ip", "netns", "del", made.namespace)
