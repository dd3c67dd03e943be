"""From the settings to who may call, and to the certificate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orderintake_server.access import AccessTable, KnownCallers, OpenDoor, entries
from orderintake_server.errors import StartupFailed
from orderintake_server.rpc.port import tls
from orderintake_server.rpc.port.tls import Certificates, TlsFiles

if TYPE_CHECKING:
    from orderintake_server.access import Callers
    from orderintake_server.access.tokens import Tokens
    from orderintake_server.clock import Clock
    from orderintake_server.config import Settings
    from orderintake_server.config.watched import WatchedFiles
from orderintake_server.parts.extras import extra


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of the certificate, None when the server has none."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.tls_client_ca)


async def certificates(settings: Settings, watched: WatchedFiles) -> Certificates | None:
    """Return the server's certificate, as the files say that are watched from now on.

    Raises StartupFailed when it cannot be used.
    """
    files = tls_files(settings)
    if files is None:
        return None
    found = await watched.watch("certificate", files.paths, partial(tls.read, files))
    certificates = Certificates(found.value, wants_clients=files.client_ca is not None)
    found.on_change = certificates.replace
    return certificates


async def callers(settings: Settings, clock: Clock, files: WatchedFiles) -> Callers:
    """Return who may call, as the files say that are watched from now on.

    Raises StartupFailed when one of them cannot be used.
    """
    if not settings.knows_callers:
        return OpenDoor()
    table = AccessTable()
    if settings.access is not None:
        read = partial(entries.read, settings.access)
        watched = await files.watch("access", [settings.access], read)
        table.take(watched.value)
        watched.on_change = table.take
    return KnownCallers(table, await _tokens(settings, clock, files))


async def _tokens(settings: Settings, clock: Clock, files: WatchedFiles) -> Tokens | None:
    if settings.jwt_keys is None:
        return None
    if not settings.jwt_issuer:
        raise StartupFailed("jwt_keys: needs jwt_issuer too: the issuer that tokens must be of")
    with extra("jwt", modules={"jwt", "cryptography"}, purpose="tokens (JWT) need PyJWT"):
        from orderintake_server.access.token_keys import read_keys  # noqa: PLC0415 - an extra
        from orderintake_server.access.tokens import TokenRules, Tokens  # noqa: PLC0415
    read = partial(read_keys, settings.jwt_keys)
    watched = await files.watch("jwt_keys", [settings.jwt_keys], read)
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        roles_claim=settings.jwt_roles_claim,
        customer_claim=settings.jwt_customer_claim,
        leeway_seconds=settings.jwt_leeway,
        longest_seconds=settings.jwt_longest,
    )
    tokens = Tokens(rules, watched.value, clock)
    watched.on_change = tokens.take
    return tokens
