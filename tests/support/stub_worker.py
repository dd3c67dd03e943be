"""Stands in for a worker process: its handler's name says how it lives and ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.supervisor import lifeline
from orderintake_server.supervisor.instructions import Instructions

if TYPE_CHECKING:  # what is imported makes each process start later
    import pytest


def can_import_support(monkeypatch: "pytest.MonkeyPatch") -> None:
    """Let processes that are started find what is beside this."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def stand_in(monkeypatch: "pytest.MonkeyPatch") -> None:
    """Let worker processes be these."""
    can_import_support(monkeypatch)
    monkeypatch.setattr("orderintake_server.supervisor.process.MODULE", "support.stub_worker")


def _ready(told: Instructions) -> None:
    os.write(told.talk, b"ready\n")
    if os.read(told.talk, 10) != b"go\n":
        os._exit(1)


def _start_beside() -> None:
    """Start a program of its own in our group, and tell its number."""
    beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    os.write(2, f"{beside.pid}\n".encode())


def works(told: Instructions) -> None:
    """Work until it is told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _ready(told)
    signal.pause()


def deaf(told: Instructions) -> None:
    """Work on, whatever it is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _ready(told)
    time.sleep(60)


def unusable(told: Instructions) -> None:
    """Tell why it cannot work."""
    os.write(told.talk, b"handler 'shop:gone' cannot be loaded: no such thing\n")
    os._exit(1)


def ends(told: Instructions) -> None:
    """End before it is ready."""
    os._exit(3)


def once(told: Instructions) -> None:
    """Work, but only the first time that there is a process of this place."""
    mark = Path(f"{told.socket}.{told.number}")
    if mark.exists():
        unusable(told)
    mark.touch()
    works(told)


def stuck(told: Instructions) -> None:
    """End as one does of which half of the slots hang."""
    _ready(told)
    os._exit(75)


def spins(told: Instructions) -> None:
    """Hold Python's lock for ever, beside a program that it has started."""
    _start_beside()
    _ready(told)
    re.match(r"(a*)*b", "a" * 64)


def leaves(told: Instructions) -> None:
    """Die, with a program left behind that it has started."""
    _start_beside()
    _ready(told)
    os.kill(os.getpid(), signal.SIGKILL)


def logs(told: Instructions) -> None:
    """Log an entry, and what is none."""
    os.write(2, b'{"event": "baking", "worker": 1}\nnot an entry \x1b[2J\n')
    works(told)


def main() -> None:
    """Live as the handler's name says."""
    told = Instructions.read(sys.argv[1:])
    lifeline.follow(told.lifeline)
    globals()[told.handler](told)


if __name__ == "__main__":
    main()
