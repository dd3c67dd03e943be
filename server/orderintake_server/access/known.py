"""Identifies callers by keys, tokens and certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.access.bearer import bearer
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.table import KEY_PREFIX, AccessTable
from orderintake_server.errors import Problem, Unauthenticated
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from orderintake_server.access.caller import Caller
    from orderintake_server.access.callers import Credentials
    from orderintake_server.access.tokens import Tokens

log = get_logger()


class KnownCallers:
    """Lets in whom the file access.toml names, or a token of the issuer."""

    def __init__(self, table: AccessTable, tokens: Tokens | None = None) -> None:
        """Know the callers of `table`; without `tokens`, no token is taken."""
        self._table = table
        self._tokens = tokens

    def identify(self, credentials: Credentials) -> Caller:
        """Return who calls: a key or token counts, and without one the certificate.

        Raises Unauthenticated, which does not say which check failed; that is for the log.
        """
        try:
            return self._found(credentials)
        except CheckFailed as failed:
            log.info(
                "a call was refused: its caller is not known",
                problem=failed.problem.name,
                check=failed.check,
                peer=credentials.peer(),
            )
            raise Unauthenticated(failed.problem) from None

    def _found(self, credentials: Credentials) -> Caller:
        token = bearer(credentials.authorization)
        if token is None:
            return self._certified(credentials)
        if token.startswith(KEY_PREFIX):
            return self._table.by_key(token)
        if self._tokens is None:
            raise CheckFailed("the token is no key, and no issuer of tokens is known")
        return self._tokens.caller(token)

    def _certified(self, credentials: Credentials) -> Caller:
        uri = credentials.certificate() if self._table.has_certificates else None
        if uri is None:
            raise CheckFailed("no credentials", Problem.MISSING)
        return self._table.by_certificate(uri)
