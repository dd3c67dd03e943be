"""What a child that a handler forks must not have: our signals, our files, our connections."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What stops a server; a child goes by them as any new process does."""
END_SECONDS = 1.0
"""What a child gets to end by SIGTERM when its server has ended; then it is killed."""

_EVENTS = "anon_inode:[event"
"""An epoll or an eventfd of Linux: what a child changes in one, it changes for us."""


@dataclass(slots=True)
class Belongings:
    """What belongs to the server that runs in this process, and to none of its children."""

    directory: Path | None = None
    """All files in it: the database, its log, the lock."""
    listens: frozenset[int | str] = frozenset()
    """The ports and socket paths listened on, and so those of each connection of a caller."""
    peers: set[object] = field(default_factory=set)
    """The addresses of the database's servers."""
    loop: asyncio.AbstractEventLoop | None = None


_ours = Belongings()
_before_fork = threading.local()
_lifeline: list[int] = []
"""A pipe of which nobody reads a byte: a child notices by its end that the server has ended."""


def contain() -> None:
    """From now on let every child that is forked begin as a process of its own."""
    if not _lifeline:
        _lifeline.extend(os.pipe())
        os.register_at_fork(
            before=_hold_signals,
            after_in_parent=_release_signals,
            after_in_child=_begin_child,
        )


def let_children_end() -> None:
    """Let every child end that was forked: it gets SIGTERM, and a second later SIGKILL."""
    if _lifeline:
        os.close(_lifeline.pop())


@contextmanager
def belongs(directory: Path | None, listens: Iterable[int | str]) -> Iterator[None]:
    """Keep from children what is in the directory, or on these ports and sockets, while inside."""
    _ours.directory, _ours.listens = directory, frozenset(listens)
    _ours.loop = asyncio.get_running_loop()
    try:
        yield
    finally:
        _ours.directory, _ours.listens, _ours.loop = None, frozenset(), None


def note_peer(address: object) -> None:
    """Keep connections to this address, that of a database's server, from children."""
    _ours.peers.add(address)


def _hold_signals() -> None:
    """Let no signal reach a child before it has handlers of its own: it would be taken for ours."""
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _begin_child() -> None:
    """Leave to the parent what is the parent's; the order matters, for a signal may wait."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _give_up_descriptors()
        if _ours.loop is not None:  # a coroutine that awaits in the child would run on with it
            _ours.loop.call_soon(os._exit, 0)
        _follow_server()
    finally:
        _release_signals()


def _follow_server() -> None:
    """End this process when its server has ended, however that was."""
    reading, *writing = _lifeline
    for descriptor in writing:
        os.close(descriptor)
    del _lifeline[1:]

    def wait() -> None:
        with suppress(OSError):
            os.read(reading, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(END_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="server-lifeline", daemon=True).start()


def _give_up_descriptors() -> None:
    """Put /dev/null, which cannot be written, in the place of every descriptor that is ours.

    They are not closed: their numbers would be given out again, and code of ours that still knows
    one would change a file of the child's.
    """
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    files = _identities(_ours.directory)
    for descriptor in _open_descriptors():
        with suppress(OSError):
            if descriptor not in (null, *_lifeline) and _is_ours(descriptor, files):
                os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _open_descriptors() -> list[int]:
    for directory in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return [int(name) for name in os.listdir(directory) if int(name) > 2]  # noqa: PLR2004, PTH208 - beyond standard error
    return []


def _identities(directory: Path | None) -> set[tuple[int, int]]:
    """Tell the device and inode of each file in a directory."""
    if directory is None:
        return set()
    with suppress(OSError), os.scandir(directory) as entries:
        found = [entry.stat() for entry in entries]
        return {(status.st_dev, status.st_ino) for status in found}
    return set()


def _is_ours(descriptor: int, files: set[tuple[int, int]]) -> bool:
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return (status.st_dev, status.st_ino) in files
    if stat.S_ISSOCK(status.st_mode):
        return _is_our_socket(descriptor)
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith(_EVENTS)  # noqa: PTH115 - no path


def _is_our_socket(descriptor: int) -> bool:
    """Tell our port and our database's from sockets that are the handler's own."""
    found = socket.socket(fileno=descriptor)
    try:
        own = found.getsockname()
        if (own[1] if isinstance(own, tuple) else own) in _ours.listens:
            return True
        return found.getpeername() in _ours.peers
    finally:
        found.detach()
