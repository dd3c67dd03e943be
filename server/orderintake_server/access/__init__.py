"""Who calls: callers and their roles, and how a call's credentials tell one."""

from orderintake_server.access.caller import EVERYBODY, Caller, Credential, Role
from orderintake_server.access.callers import Callers, Credentials, OpenDoor

__all__ = ["EVERYBODY", "Caller", "Callers", "Credential", "Credentials", "OpenDoor", "Role"]
