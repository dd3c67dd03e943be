"""Callers with keys: the file that names them, and what each sends with its calls."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from orderintake_server.access import Credentials

Metadata = tuple[tuple[str, str], ...]


def key_of(name: str) -> str:
    """Give the key of a caller: any text will do that begins like one."""
    return f"oik_{name}-0123456789abcdefghijklmnopqrstuvwxyz"


def bearing(token: str) -> Metadata:
    """Give the metadata of a call with this key or token."""
    return (("authorization", f"Bearer {token}"),)


def entry(name: str, *roles: str, customer: str | None = None) -> str:
    """Write the entry of a caller with a key."""
    lines = [
        f"[{name}]",
        f'sha256 = "{sha256(key_of(name).encode()).hexdigest()}"',
        f"roles = {list(roles)!r}",
    ]
    if customer is not None:
        lines.append(f'customer = "{customer}"')
    return "\n".join(lines) + "\n"


def write_access(path: Path, entries: Iterable[str]) -> Path:
    """Put a file with these entries into the file's place, as the command does."""
    made = path.with_suffix(".new")
    made.write_text("\n".join(entries))
    made.chmod(0o600)
    made.rename(path)
    return path


def presented(*authorization: str, certificate: str | None = None) -> Credentials:
    """Give the credentials of a call."""
    return Credentials(authorization, lambda: certificate, lambda: "ipv4:192.0.2.1:7")
