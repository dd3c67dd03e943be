"""Messages as JSON, by protobuf's rules for it: the one place that knows them."""

from orderintake_server.http.json.reading import JSON_BYTES, read_json
from orderintake_server.http.json.threads import OneThread
from orderintake_server.http.json.writing import detail_json, write_json

__all__ = ["JSON_BYTES", "OneThread", "detail_json", "read_json", "write_json"]
