"""How many connections there may be: fewer than the files that the process may open."""

from __future__ import annotations

import resource
from contextlib import suppress

from orderintake_server.errors import StartupFailed

MOST_FILES = 65_536
"""More is not asked for: a process that has some million takes seconds to start others."""
KEPT_FILES = 256
"""For the store, the log, modules and what handlers open; a worker has one more."""
LEAST_FILES = 128
"""Half of them serve 64 connections; fewer are no service."""


def raise_file_limit() -> None:
    """Let the process open as many files as its hard limit allows, 65,536 at the most.

    Raises StartupFailed when these are too few to serve anybody.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a second limit, of which nobody tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _files()


def most_connections(workers: int, wanted: int | None = None) -> int:
    """Tell how many connections there may be: `wanted`, or else all that the files are enough for.

    Raises StartupFailed when the process may open too few files: for those that are wanted and
    what the server needs itself, or to serve anybody.
    """
    files = _files()
    most = files - min(KEPT_FILES + workers, files // 2)
    if wanted is not None and wanted > most:
        raise StartupFailed(
            f"max_connections: {wanted} are more than the {most} for which this process may open "
            "files: raise the limit (ulimit -n, or LimitNOFILE= of systemd)"
        )
    return wanted or most


def share_of_files(wanted: int) -> int:
    """Tell how many connections another listener may have: `wanted`, or a quarter of the files."""
    return min(wanted, _files() // 4)


def _files() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    if files < LEAST_FILES:
        raise StartupFailed(
            f"this process may open only {files} files; {LEAST_FILES} are the least: "
            "raise the limit (ulimit -n, or LimitNOFILE= of systemd)"
        )
    return files
