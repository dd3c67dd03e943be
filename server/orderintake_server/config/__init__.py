"""Every setting, read once at start: from a flag, else a variable, else the file, else default."""

from orderintake_server.config.output import tell
from orderintake_server.config.reading import PROGRAM, log_form, read, read_for
from orderintake_server.config.settings import Settings
from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import POSITIONAL, AnyStore, Database, Directory, File
from orderintake_server.config.variables import unknown_variables

__all__ = [
    "POSITIONAL",
    "PROGRAM",
    "AnyStore",
    "Database",
    "Directory",
    "File",
    "Settings",
    "Sourced",
    "log_form",
    "read",
    "read_for",
    "tell",
    "unknown_variables",
]
