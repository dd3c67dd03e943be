"""Who may reach a store's files: a warning at the start when others may; nothing is changed."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = get_logger()


def warn_of_others(directory: Path, name: str) -> None:
    """Warn, with the command that mends it, when others may reach the store `name` in a directory.

    What the server makes is its owner's alone; what a person made stays as it is. Files in a
    directory that is its owner's alone are reached by nobody else, and what belongs to somebody
    else is not ours to mend.
    """
    if not directory.stat().st_mode & OTHERS:
        return
    files = (directory, *sorted(directory.glob(f"{name}*")))
    wide = [path for path in files if _is_ours_and_wide(path.stat())]
    if wide:
        log.warning(
            "others on this machine may reach the store's files",
            mend=shlex.join(["chmod", "go-rwx", *map(str, wide)]),
        )


def _is_ours_and_wide(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and bool(found.st_mode & OTHERS)
