"""The callers of the file access.toml, found by key or certificate."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from orderintake_server.access.checks import CheckFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake_server.access.caller import Caller
    from orderintake_server.access.entries import Entry

KEY_PREFIX = "oik_"
"""Begins every key, so that people and programs that look for secrets recognise one."""


class AccessTable:
    """Knows the callers of one file, and ends the right of those whose entry goes or changes."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Know the callers of these entries."""
        self._entries: dict[bytes | str, Entry] = {}
        self._callers: dict[bytes | str, Caller] = {}
        self._has_certificates = False
        self.take(entries)

    def take(self, entries: Iterable[Entry]) -> None:
        """Know these entries in place of the ones before, and revoke all that is not among them."""
        known = {entry.credential: entry for entry in entries}
        callers = {}
        for credential, entry in known.items():
            is_same = self._entries.get(credential) == entry
            callers[credential] = self._callers[credential] if is_same else entry.caller()
        for credential, caller in self._callers.items():
            caller.is_revoked = callers.get(credential) is not caller
        self._entries, self._callers = known, callers
        self._has_certificates = any(isinstance(each, str) for each in known)

    def by_key(self, key: str) -> Caller:
        """Return who has this key. Raises CheckFailed.

        Only its hash is looked for, so that how long that takes tells nothing of another key.
        """
        caller = self._callers.get(sha256(key.encode()).digest())
        if caller is None:
            raise CheckFailed("the key is unknown")
        return caller

    def by_certificate(self, uri: str) -> Caller:
        """Return whose certificate names exactly this URI. Raises CheckFailed."""
        caller = self._callers.get(uri)
        if caller is None:
            raise CheckFailed("no entry has the URI of the certificate")
        return caller

    @property
    def has_certificates(self) -> bool:
        """Whether any caller is known by a certificate."""
        return self._has_certificates
