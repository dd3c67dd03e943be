"""Adds entries to the file access.toml and removes them: a running server sees all or nothing."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from orderintake_server.access import entries
from orderintake_server.config.watched import BadFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orderintake_server.access.entries import Entry

HEADING = """\
# Who may call, by the hash of a key or the name in a certificate; made by: orderintake-server keys
"""
_OWNER_ONLY = 0o600
_MAY_STAY = 0o644
"""What others may do to the file at the most."""


def add(path: Path, entry: Entry) -> None:
    """Add an entry to the file, which is made if missing; it is on the disk on return.

    Raises OSError; BadFile when the file cannot be used, or has such an entry already.
    """
    with _locked(path) as file:
        text = entries.read_text(file) if file.exists() else HEADING
        if entry.name in {each.name for each in entries.parse(text)}:
            raise BadFile(f"{entry.name} is there already; remove it first, or take another name")
        _replace(file, f"{text.rstrip()}\n\n{_written(entry)}".lstrip())


def remove(path: Path, name: str) -> None:
    """Remove the entry of that name from the file; what else stands there stays as it is.

    Raises OSError; BadFile when the file cannot be used, or has no entry of that name.
    """
    with _locked(path) as file:
        text = entries.read_text(file)
        before = entries.parse(text)
        after = tuple(each for each in before if each.name != name)
        if len(after) == len(before):
            raise BadFile(f"there is no entry {name}")
        without = _without(text, name)
        if entries.parse(without) != after:
            raise BadFile(f"the entry {name} is written in a form that only you can remove")
        _replace(file, without)


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Keep other commands like this from changing the file while inside; give its real path."""
    file = path.resolve()
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield file
        os.fsync(directory)  # the new name is on the disk too
    finally:
        os.close(directory)


def _written(entry: Entry) -> str:
    """Write an entry as TOML."""
    if isinstance(entry.credential, bytes):
        credential = f'sha256 = "{entry.credential.hex()}"'
    else:
        credential = f"certificate = {_quoted(entry.credential)}"
    roles = ", ".join(_quoted(role.value) for role in sorted(entry.roles, key=lambda r: r.value))
    lines = [f"[{entry.name}]", credential, f"roles = [{roles}]"]
    if entry.customer is not None:
        lines.append(f"customer = {_quoted(entry.customer)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a printable text for TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _without(text: str, name: str) -> str:
    """Leave out the lines from the heading of the entry to the next heading."""
    heading = re.compile(rf"""\s*\[\s*(['"]?){re.escape(name)}\1\s*\]\s*(#.*)?""")
    kept, is_inside = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            is_inside = heading.fullmatch(line) is not None
        if not is_inside:
            kept.append(line)
    return "".join(kept)


def _replace(file: Path, text: str) -> None:
    """Put the text into the file's place, whole or not at all, flushed; its owner stays."""
    entries.parse(text)
    made = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            os.fchmod(descriptor, _OWNER_ONLY)  # whatever the umask is
            _keep_owner(file, descriptor)
            written.write(text)
            written.flush()
            os.fsync(descriptor)
        made.rename(file)
    except BaseException:
        with suppress(OSError):
            made.unlink()
        raise


def _keep_owner(file: Path, descriptor: int) -> None:
    """Give a new file the owner and the mode of the one whose place it takes."""
    try:
        before = file.stat()
    except FileNotFoundError:
        return
    os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & _MAY_STAY)
