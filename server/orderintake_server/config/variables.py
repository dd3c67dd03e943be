"""The environment variables that are settings, and those that only look like it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orderintake_server.config.command_line import nearest
from orderintake_server.config.settings import Settings
from orderintake_server.config.sources import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    found = nearest(name, known)
    return PREFIX + found if found else None
