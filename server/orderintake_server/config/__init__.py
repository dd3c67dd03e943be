"""Every setting, read once at start: from a flag, else a variable, else the file, else default."""

from orderintake_server.config.reading import explained, log_form, plain_errors, read
from orderintake_server.config.settings import Settings
from orderintake_server.config.values import AnyStore, Database, Directory, File
from orderintake_server.config.variables import PrefixedVariables, unknown_variables

__all__ = [
    "AnyStore",
    "Database",
    "Directory",
    "File",
    "PrefixedVariables",
    "Settings",
    "explained",
    "log_form",
    "plain_errors",
    "read",
    "unknown_variables",
]
