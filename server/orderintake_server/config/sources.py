"""Where settings come from: the command line, then variables, then a file, then the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "ORDERINTAKE_"
"""What the name of every variable begins with."""


class Sourced(BaseSettings):
    """Settings that are read once; each class of them declares what it needs.

    One setting is one row: its type knows the form of its values and the word for them in --help
    (see `values`), its name is the flag, the variable and the key, its description the help. Rows
    stand under the heading of the class that declares them, which is its docstring.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the constructor's arguments, then the environment, then the file, if one is set.

        An empty variable is as none; an empty flag is a value.
        """
        file = TomlConfigSettingsSource(settings_cls)
        if "config" in file.toml_data:
            raise ValueError("a file cannot name another one by the key config")
        return init_settings, _PrefixedVariables(settings_cls), file


class _PrefixedVariables(EnvSettingsSource):
    """Reads variables with our prefix only, also those of fields that have an alias.

    FROM and TO belong to whoever set them.
    """

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings, env_prefix="", env_ignore_empty=True)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        prefix = PREFIX.lower()
        return {
            name.lower().removeprefix(prefix): value
            for name, value in super()._load_env_vars().items()
            if name.lower().startswith(prefix)
        }
