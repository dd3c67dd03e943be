"""The texts that callers know orders, log positions and leases by."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from dataclasses import dataclass

from orderintake_server.domain import Tier
from orderintake_server.errors import (
    CursorInvalid,
    CursorOtherLog,
    LeaseInvalid,
    OrderNotFound,
)
from orderintake_server.holders import LeaseKey

_CURSOR = struct.Struct(">B4sQ")
_LEASE = struct.Struct(">B4sQQBII")
_CHECK = struct.Struct(">I")
_VERSION = 1
_PAGE_VERSION = 0x81
"""Of page tokens, which are no cursors."""
_LEASE_VERSION = 0xA1
"""Of leases, which are neither."""
_ACTION = "@"
"""Begins a page token of operators' actions, which thus is no order_id."""
_END = b" end"
"""Ends the name of a list in the token that says where to end."""
NEWEST = 1 << 62
"""More than any sequence: before it comes the newest of all."""
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ORDER_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids and cursors of one store: `log_id` identifies it, by 8 hexadecimal digits."""

    log_id: str

    def order_id(self, accept_sequence: int) -> str:
        """Return an order's id; ids of one store sort as their accept sequences do."""
        return f"{self.log_id}-{accept_sequence:012x}"

    def accept_sequence(self, order_id: str) -> int:
        """Return the accept sequence of the order with this id.

        Raises OrderNotFound when no order of this store can have that id.
        """
        match = _ORDER_ID.fullmatch(order_id)
        if match is None or match[1] != self.log_id:
            raise OrderNotFound("there is no such order")
        return int(match[2], 16)

    def cursor(self, sequence: int) -> str:
        """Return the cursor after completion `sequence`; 0 means before the first completion."""
        body = _CURSOR.pack(_VERSION, bytes.fromhex(self.log_id), sequence)
        return _text(body + _CHECK.pack(zlib.crc32(body)))

    def page_token(self, accept_sequence: int, list_name: bytes) -> str:
        """Return the page token after this order in one list of orders, which has that name."""
        body = _CURSOR.pack(_PAGE_VERSION, bytes.fromhex(self.log_id), accept_sequence)
        return _text(body + _CHECK.pack(zlib.crc32(body + list_name)))

    def listed(self, page_token: str, list_name: bytes) -> int:
        """Return the accept sequence after which the page begins; 0 for the empty token.

        Raises CursorInvalid for a text that is not a page token of this list in this store.
        """
        if not page_token:
            return 0
        sequence = int.from_bytes(_bytes(page_token)[5:13], "big")
        if page_token != self.page_token(sequence, list_name):
            raise CursorInvalid(
                "this is not a page token of this list, with these filters and in this order"
            )
        return sequence

    def section_token(self, after: int, until: int, list_name: bytes) -> str:
        """Return the token that goes on after one place of a list, and ends with another."""
        return self.page_token(after, list_name) + self.page_token(until, list_name + _END)

    def section(self, token: str, list_name: bytes) -> tuple[int, int]:
        """Return after which place to go on, and with which to end; two 0 for the empty token.

        Raises CursorInvalid for a text that is not such a token of this list in this store.
        """
        half = len(token) // 2
        after, until = token[:half], token[half:]
        return self.listed(after, list_name), self.listed(until, list_name + _END)

    def action_token(self, sequence: int) -> str:
        """Return the page token after this operator's action, which leads to older ones."""
        return _ACTION + self.order_id(sequence)

    def action_before(self, page_token: str) -> int:
        """Return the sequence below which the page begins; NEWEST for the empty token.

        Raises CursorInvalid for a text that is not such a page token of this store.
        """
        if not page_token:
            return NEWEST
        mark, order_id = page_token[:1], page_token[1:]
        try:
            return self.accept_sequence(order_id if mark == _ACTION else "")
        except OrderNotFound:
            raise CursorInvalid("this is not a page token of ListOperatorActions") from None

    def sequence(self, cursor: str) -> int:
        """Return the completion sequence that a cursor comes after.

        Raises CursorInvalid for a text that is not a cursor, CursorOtherLog for another log's.
        """
        log_id, sequence = _parse(cursor)
        if log_id != self.log_id:
            raise CursorOtherLog("the cursor belongs to the completion log of another store")
        return sequence

    def lease(self, key: LeaseKey) -> str:
        """Return the text of a lease: it says all that is needed to end its attempt."""
        body = _LEASE.pack(_LEASE_VERSION, bytes.fromhex(self.log_id), *key)
        return _text(body + _CHECK.pack(zlib.crc32(body)))

    def lease_key(self, lease: str) -> LeaseKey:
        """Return what the text of a lease says.

        Raises LeaseInvalid for a text that is not a lease of this store.
        """
        try:
            _, _, accept, start, tier, attempts, crashes = _LEASE.unpack_from(_bytes(lease))
            key = LeaseKey(accept, start, Tier(tier), attempts, crashes)
        except (struct.error, ValueError):
            raise LeaseInvalid("this is not a lease, or it was damaged") from None
        if lease != self.lease(key) or max(key) >= NEWEST or key.tries < 1:
            raise LeaseInvalid("this is not a lease of this store, or it was damaged")
        return key


def _text(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Return what `_text` made a text of; no bytes if it did not."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _parse(cursor: str) -> tuple[str, int]:
    """Return a cursor's log id and sequence; only a text exactly as `cursor` writes it is valid."""
    raw = _bytes(cursor)
    try:
        body, (check,) = raw[: _CURSOR.size], _CHECK.unpack(raw[_CURSOR.size :])
        version, log_id, sequence = _CURSOR.unpack(body)
    except struct.error:
        raise CursorInvalid("this is not a cursor") from None
    if version != _VERSION or check != zlib.crc32(body) or cursor != _text(raw):
        raise CursorInvalid("this is not a cursor, or it was damaged")
    return log_id.hex(), sequence
