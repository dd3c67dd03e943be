"""The client for threads: `client` and `calls` are generated from `orderintake.aio`."""

from orderintake.sync.client import Client
from orderintake.sync.completions import Completions
from orderintake.sync.placing import Placing

__all__ = ["Client", "Completions", "Placing"]
