"""The log: structured entries, written to standard error without ever holding the service up."""

from orderintake_server.telemetry.log import ORDER_ID, configure_log
from orderintake_server.telemetry.outage import Outage
from orderintake_server.telemetry.output import LogOutput, open_closed_descriptors
from orderintake_server.telemetry.sink import LOST

__all__ = ["LOST", "ORDER_ID", "LogOutput", "Outage", "configure_log", "open_closed_descriptors"]
