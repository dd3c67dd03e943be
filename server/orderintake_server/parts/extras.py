"""What is imported only where its extra is installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager


def postgres_driver() -> AbstractContextManager[None]:
    """Import modules that need PostgreSQL's driver while inside, as an `extra`."""
    needs = "a store in PostgreSQL needs the driver asyncpg"
    return extra("postgres", modules={"asyncpg"}, purpose=needs)


@contextmanager
def extra(name: str, *, modules: AbstractSet[str], purpose: str) -> Iterator[None]:
    """Import what needs the modules of an extra of the distribution while inside.

    Raises StartupFailed, which says what to install, when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        raise StartupFailed(f"{purpose}: pip install 'orderintake-server[{name}]'") from error
