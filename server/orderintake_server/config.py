"""Every setting there is, read once at start: by flag, else variable, else file, else default."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from orderintake_server.errors import StartupFailed

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+):(\d{1,5})")
_LAST_PORT = 65_535


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _LAST_PORT:
        raise ValueError("must be HOST:PORT, with [ ] around an IPv6 host, and a port up to 65535")
    return text


class Settings(BaseSettings):
    """Durable, VIP-first order intake over gRPC.

    Each setting can be given as the flag shown, as the environment variable shown, or as a key of
    the TOML file that --config names: --queue-limit is ORDERINTAKE_QUEUE_LIMIT is queue_limit.
    The flag wins over the variable, and that over the file.
    """

    model_config = SettingsConfigDict(
        env_prefix="ORDERINTAKE_",
        extra="forbid",
        frozen=True,
        cli_prog_name="orderintake-server",
        cli_kebab_case=True,
        cli_show_env_vars=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:50051",
        description="HOST:PORT to serve on; port 0 takes a free one, which the log names",
    )
    data: Path = Field(
        default=Path("data"),
        description="directory of the store, made if missing; one server at a time uses it",
    )
    workers: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="how many orders are processed at once; with 0 they are only taken",
    )
    handler: str = Field(
        default="orderintake_server.handlers:simulate",
        description="package.module:callable that processes an order, async or sync",
    )
    queue_limit: int = Field(
        default=1_000_000,
        ge=1,
        description="how many orders may wait; more are refused with QUEUE_FULL",
    )
    drain_timeout: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds that running orders get to finish when the server stops",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="how the log on standard error is written"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least urgent log entries to write"
    )
    config: Path | None = Field(
        default=None, description="TOML file with settings; this one cannot stand in it"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the constructor's arguments, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls)
        if "config" in file.toml_data:
            raise ValueError("a file cannot name another one by the key config")
        return init_settings, env_settings, file


def read(arguments: list[str]) -> Settings:
    """Read the settings for these command line arguments.

    Raises StartupFailed naming every bad setting; --help and bad usage leave by SystemExit.
    """
    path = _config_path(arguments)

    class SettingsOfFile(Settings, toml_file=path):
        __doc__ = Settings.__doc__

    try:
        if path is not None and not path.is_file():
            raise StartupFailed(f"config: there is no file {path}")
        return SettingsOfFile(_cli_parse_args=arguments)
    except ValidationError as error:
        raise StartupFailed(_explained(error)) from None
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise StartupFailed(f"config: {path}: {error}") from None


def _config_path(arguments: list[str]) -> Path | None:
    """Find the TOML file, which must be known before the rest is read."""
    parser = argparse.ArgumentParser("orderintake-server", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default=os.environ.get("ORDERINTAKE_CONFIG"))
    path = parser.parse_known_args(arguments)[0].config
    return Path(path) if path else None


def _explained(error: ValidationError) -> str:
    """Name every bad setting, and what is wrong with it."""
    return "; ".join(
        f"{'.'.join(map(str, bad['loc']))}: {bad['msg']} (it is {bad['input']!r})"
        for bad in error.errors()
    )
