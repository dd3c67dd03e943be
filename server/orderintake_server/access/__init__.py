"""Who calls: callers and their roles, and how a call's credentials tell one."""

from orderintake_server.access.caller import EVERYBODY, Caller, Credential, Role
from orderintake_server.access.callers import Callers, Credentials, OpenDoor
from orderintake_server.access.known import KnownCallers
from orderintake_server.access.table import AccessTable

__all__ = [
    "EVERYBODY",
    "AccessTable",
    "Caller",
    "Callers",
    "Credential",
    "Credentials",
    "KnownCallers",
    "OpenDoor",
    "Role",
]
