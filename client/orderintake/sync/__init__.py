"""The client for threads: `client`, `calls` and `operators` are made from `orderintake.aio`."""

from orderintake.sync.client import Client
from orderintake.sync.completions import Completions
from orderintake.sync.placing import Placing

__all__ = ["Client", "Completions", "Placing"]
