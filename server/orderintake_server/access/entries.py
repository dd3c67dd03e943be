"""The file access.toml: who may call, by the hash of a key or the name in a certificate."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.access.caller import EVERYBODY, Caller, Credential, Role
from orderintake_server.config.watched import BadFile
from orderintake_server.texts import is_printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

MOST_BYTES = 16 * 1024 * 1024
"""A larger file is refused: it would hold more than 50,000 keys."""
MOST_CHARACTERS = 128
"""Of a customer, as in the contract."""
MOST_URI_CHARACTERS = 2048

_NAME = re.compile(r"(?!oik_|eyJ)[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""The name of an entry: what TOML takes without quotes, and nothing that looks like a key."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FIELDS = ("sha256", "certificate", "roles", "customer")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One caller of the file."""

    name: str
    credential: bytes | str
    """The SHA-256 of its key, or the URI that its certificate names."""
    roles: frozenset[Role]
    customer: str | None

    @property
    def kind(self) -> Credential:
        """By what the caller is identified."""
        return Credential.KEY if isinstance(self.credential, bytes) else Credential.CERTIFICATE

    def caller(self) -> Caller:
        """Return the caller that it describes."""
        return Caller(
            name=self.name, credential=self.kind, roles=self.roles, customer=self.customer
        )


def read(path: Path) -> tuple[Entry, ...]:
    """Read the file. Raises OSError, or BadFile, which names the entry and the field."""
    return parse(read_text(path))


def read_text(path: Path) -> str:
    """Return the file's text. Raises OSError; BadFile when others than its owner may write it."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_WRITE:
            raise BadFile("others than its owner may write it: chmod go-w")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BadFile("is larger than 16 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadFile("is not UTF-8") from None


def parse(text: str) -> tuple[Entry, ...]:
    """Read the entries of a text. Raises BadFile, which names the entry and the field."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadFile(f"is not TOML{_place(error)}") from None
    entries = tuple(_entry(number, *each) for number, each in enumerate(tables.items(), start=1))
    _refuse_repeats(entries)
    return entries


def _place(error: Exception) -> str:
    """Return where the error is; the rest of its text may show what stands there."""
    found = re.search(r" \(at (line \d+, column \d+|end of document)\)$", str(error))
    return found[0] if found else ""


def is_name(text: str) -> bool:
    """Tell whether an entry may have this name."""
    return _NAME.fullmatch(text) is not None


def _entry(number: int, name: str, table: object) -> Entry:
    if not is_name(name):
        raise BadFile(
            f"entry {number}: its name must be 1 to 64 letters, digits, - and _, "
            "not as a key begins"
        )
    if not isinstance(table, dict):
        raise BadFile(f"{name}: must be a table, as [{name}]")
    for field in table.keys() - set(_FIELDS):
        shown = f"{name}: {field}" if is_name(field) else f"{name}: a field"
        raise BadFile(f"{shown}: is none of {', '.join(_FIELDS)}")
    roles = _roles(name, table)
    return Entry(
        name=name,
        credential=_credential(name, table),
        roles=roles,
        customer=_customer(name, table, roles),
    )


def _credential(name: str, table: Mapping[str, Any]) -> bytes | str:
    if ("sha256" in table) == ("certificate" in table):
        raise BadFile(f"{name}: must have either sha256 or certificate")
    if "sha256" in table:
        digest = table["sha256"]
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BadFile(f"{name}: sha256: must be 64 hexadecimal digits")
        return bytes.fromhex(digest)
    uri = table["certificate"]
    if not is_uri(uri):
        raise BadFile(f"{name}: certificate: must be a URI, as spiffe://shop.example/kitchen")
    return str(uri)


def is_uri(value: object) -> bool:
    """Tell whether the value may be what a certificate names."""
    return (
        isinstance(value, str)
        and "://" in value
        and len(value) <= MOST_URI_CHARACTERS
        and is_printable(value)
    )


def _roles(name: str, table: Mapping[str, Any]) -> frozenset[Role]:
    known = {role.value: role for role in Role}
    given = table.get("roles")
    if not isinstance(given, list) or not given:
        raise BadFile(f"{name}: roles: must be a list of at least one")
    for role in given:
        if not isinstance(role, str) or role not in known:
            raise BadFile(f"{name}: roles: must be of {', '.join(known)}")
    return frozenset(known[role] for role in given)


def _customer(name: str, table: Mapping[str, Any], roles: frozenset[Role]) -> str | None:
    customer = table.get("customer")
    if (customer is None) == (Role.CUSTOMER in roles):
        raise BadFile(
            f"{name}: customer: must be there with the role customer, and only then: "
            f'an id, or "{EVERYBODY}" for all'
        )
    if customer is not None and not is_customer(customer):
        raise BadFile(f"{name}: customer: must be a text of 1 to 128 printable characters")
    return customer


def is_customer(value: object) -> bool:
    """Tell whether the value is a customer_id, or the sign for everybody's."""
    return isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS and is_printable(value)


def _refuse_repeats(entries: tuple[Entry, ...]) -> None:
    names: dict[bytes | str, str] = {}
    for entry in entries:
        field = "sha256" if isinstance(entry.credential, bytes) else "certificate"
        if (other := names.get(entry.credential)) is not None:
            raise BadFile(f"{entry.name}: {field}: is the same as that of {other}")
        names[entry.credential] = entry.name
