"""The environment variables that are settings, and those that only look like it."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from pydantic_settings import EnvSettingsSource

from orderintake_server.config.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import BaseSettings

_OTHERS = {"API_KEY", "SERVER", "FROM", "TO", "TEST_GATE"}
"""Variables of the client, of the command copy, and of the handlers that are only for tests."""


def unknown_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return the variables named like settings that are none, each with the nearest that is one.

    Their values are looked at by nobody.
    """
    known = {name.upper() for name in Settings.model_fields}
    given = (name for name in sorted(environment) if name.upper().startswith(PREFIX))
    return {
        name: _nearest(name.upper().removeprefix(PREFIX), known)
        for name in given
        if name.upper().removeprefix(PREFIX) not in known | _OTHERS
    }


def _nearest(name: str, known: set[str]) -> str | None:
    found = difflib.get_close_matches(name, sorted(known), n=1)
    return PREFIX + found[0] if found else None


class PrefixedVariables(EnvSettingsSource):
    """Reads variables with our prefix only, also those of fields that have an alias.

    An empty variable is as none.
    """

    def __init__(self, settings: type[BaseSettings]) -> None:
        """Read the fields of these settings."""
        super().__init__(settings, env_prefix="", env_ignore_empty=True)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        prefix = PREFIX.lower()
        return {
            name.lower().removeprefix(prefix): value
            for name, value in super()._load_env_vars().items()
            if name.lower().startswith(prefix)
        }
