"""Writes the OpenAPI description of what is served by HTTP, from the protos and their comments.

Reads a FileDescriptorSet with its source information from standard input.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2

PACKAGE = "orderintake.v1"
ABOUT = (
    "Every method of the gRPC contract as plain HTTP, by the "
    "[Connect protocol](https://connectrpc.com/docs/protocol): POST its request as JSON, or GET "
    "where it only reads. Completions are streamed to a GET as server-sent events. The "
    "descriptions are those of the contract, which names fields in snake_case: in JSON they are "
    "in lowerCamelCase, and both are read. A field, or a name of an enum, that is not known is "
    "refused; 64-bit integers are texts; what has its default is left out. PlaceOrders, a stream "
    "both ways, is served by gRPC only."
)
NO_SIDE_EFFECTS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
FIELD = descriptor_pb2.FieldDescriptorProto
KEYED = "requestId"
"""Requests with this field may have it as a header."""

Schema = dict[str, Any]

WELL_KNOWN: Mapping[str, Schema] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
    ".google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The URL of its type."}},
        "required": ["@type"],
        "description": "A message of any type. One whose type the server does not know has its "
        "bytes beside, as base64, by the key `@base64`.",
    },
}
SCALARS: Mapping[int, Schema] = {
    FIELD.TYPE_STRING: {"type": "string"},
    FIELD.TYPE_BOOL: {"type": "boolean"},
    FIELD.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FIELD.TYPE_INT32: {"type": "integer", "format": "int32"},
    FIELD.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FIELD.TYPE_INT64: {"type": "string", "format": "int64", "pattern": r"^-?\d+$"},
    FIELD.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": r"^\d+$"},
    FIELD.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FIELD.TYPE_FLOAT: {"type": "number", "format": "float"},
}
"""Of each scalar type of the contract; one that is not here has to be thought about."""
ERROR: Schema = {
    "type": "object",
    "description": "Why a call was refused, as the Connect protocol tells it.",
    "required": ["code"],
    "properties": {
        "code": {"type": "string", "description": "Of google.rpc.Code, in small letters."},
        "message": {"type": "string", "description": "What happened, as text for people."},
        "details": {
            "type": "array",
            "description": "google.rpc.ErrorInfo, with an ErrorReason, and what that says.",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {"type": "string", "description": "The full name of a message."},
                    "value": {"type": "string", "description": "The message, as base64."},
                    "debug": {"type": "object", "description": "The same as JSON."},
                },
            },
        },
    },
}
REFUSED: Schema = {
    "description": "The call was refused; nothing was done, unless the error says otherwise.",
    "headers": {
        "Retry-After": {
            "description": "Where a repeat helps: after so many seconds.",
            "schema": {"type": "integer", "minimum": 1},
        }
    },
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


class File:
    """One file of the contract, and what its comments say."""

    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        """Read the comments."""
        self.proto = file
        self._comments = {
            tuple(found.path): found.leading_comments for found in file.source_code_info.location
        }

    def said(self, *path: int) -> str:
        """Return what the comment says at a place, its lines joined to paragraphs."""
        text = self._comments.get(path, "")
        parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
        return "\n\n".join(filter(None, parts))

    def schemas(self) -> Iterator[tuple[str, Schema]]:
        """Yield the schema of each message and each enum, by its name."""
        for index, message in enumerate(self.proto.message_type):
            yield message.name, self._message(index, message)
        for index, enum in enumerate(self.proto.enum_type):
            yield enum.name, self._enum(index, enum)

    def _message(self, index: int, message: descriptor_pb2.DescriptorProto) -> Schema:
        schema: Schema = {"type": "object", "description": self.said(4, index), "properties": {}}
        for number, field in enumerate(message.field):
            told = self.said(4, index, 2, number)
            schema["properties"][field.json_name] = _described(_field(field, message), told)
        if message.name.endswith("Request"):
            schema["additionalProperties"] = False
        if choices := list(_choices(message)):
            schema["allOf"] = choices
        return schema

    def _enum(self, index: int, enum: descriptor_pb2.EnumDescriptorProto) -> Schema:
        values = [
            f"- `{value.name}`: {self.said(5, index, 2, number)}"
            for number, value in enumerate(enum.value)
        ]
        return {
            "type": "string",
            "description": "\n".join([self.said(5, index), "", *values]),
            "enum": [value.name for value in enum.value],
        }

    def paths(self, schemas: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
        """Yield each path that is served, with its operations."""
        for index, service in enumerate(self.proto.service):
            served = [each for each in enumerate(service.method) if not each[1].client_streaming]
            for number, method in served:
                about = {"tags": [service.name], **_about(self.said(6, index, 2, number))}
                fields = schemas[_name(method.input_type)]["properties"]
                path = f"/{PACKAGE}.{service.name}/{method.name}"
                yield path, _operations(method, fields, about)


def _choices(message: descriptor_pb2.DescriptorProto) -> Iterator[Schema]:
    """Yield what says of each oneof that at most one of its fields is there."""
    for index, _ in enumerate(message.oneof_decl):
        names = [
            field.json_name
            for field in message.field
            if field.HasField("oneof_index")
            and field.oneof_index == index
            and not field.proto3_optional
        ]
        pairs = [[a, b] for at, a in enumerate(names) for b in names[at + 1 :]]
        yield from ({"not": {"required": pair}} for pair in pairs)


def _field(field: Any, message: descriptor_pb2.DescriptorProto) -> Schema:  # noqa: ANN401
    kind = _kind(field)
    if field.label != FIELD.LABEL_REPEATED:
        return kind
    entries = {f".{PACKAGE}.{message.name}.{each.name}": each for each in message.nested_type}
    if entry := entries.get(field.type_name):
        return {"type": "object", "additionalProperties": _kind(entry.field[1])}
    return {"type": "array", "items": kind}


def _kind(field: Any) -> Schema:  # noqa: ANN401 - protobuf's descriptor of a field
    if field.type_name in WELL_KNOWN:
        return dict(WELL_KNOWN[field.type_name])
    if field.type_name:
        return _ref(field.type_name)
    return dict(SCALARS[field.type])


def _name(full: str) -> str:
    return full.rpartition(".")[2]


def _ref(full: str) -> Schema:
    return {"$ref": f"#/components/schemas/{_name(full)}"}


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text} if text else schema


def _about(text: str) -> Schema:
    first = re.split(r"(?<=[.:])\s", text, maxsplit=1)[0]
    return {"summary": first.rstrip(".:"), "description": text}


def _operations(
    method: descriptor_pb2.MethodDescriptorProto, fields: Mapping[str, Schema], about: Schema
) -> Schema:
    if method.server_streaming:
        return {"get": {"operationId": method.name, **about, **_events(fields)}}
    answer = {"application/json": {"schema": _ref(method.output_type)}}
    responses = {"200": {"description": "The answer.", "content": answer}, "default": REFUSED}
    asked = {"application/json": {"schema": _ref(method.input_type)}}
    found = {
        "post": {
            "operationId": method.name,
            **about,
            "parameters": list(_headers(fields)),
            "requestBody": {"required": True, "content": asked},
            "responses": responses,
        }
    }
    if method.options.idempotency_level == NO_SIDE_EFFECTS:
        parameters = list(_query(_ref(method.input_type)))
        operation_id = {"operationId": f"{method.name}ByGet"}
        found["get"] = {**operation_id, **about, "parameters": parameters, "responses": responses}
    return found


def _headers(fields: Mapping[str, Schema]) -> Iterator[Schema]:
    yield _header("Connect-Timeout-Ms", "How long the answer is waited for.", {"type": "integer"})
    if KEYED in fields:
        yield _header("Idempotency-Key", f"The same as {KEYED}.", {"type": "string"})


def _header(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _query(request: Schema) -> Iterator[Schema]:
    """Yield the parameters of a GET by the Connect protocol."""
    content = {"application/json": {"schema": request}}
    yield {"name": "message", "in": "query", "required": True, "content": content}
    encoding = {"type": "string", "enum": ["json"]}
    yield {"name": "encoding", "in": "query", "required": True, "schema": encoding}


def _events(fields: Mapping[str, Schema]) -> Schema:
    """Return the parameters and the answers of a stream of server-sent events."""
    last = "Where a reader was that comes back: the cursor after which to begin."
    parameters = [{"name": name, "in": "query", "schema": fields[name]} for name in fields]
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    told = (
        "Events without an end. Of each completion: `id`, its cursor, and `data`, a Completion. "
        "Of a Signal: `event`, its name in small letters, and `data`. A comment moves the `id` "
        "only. The last is `event: end`, whose data is an Error."
    )
    return {
        "parameters": [_header("Last-Event-ID", last, {"type": "string"}), *parameters],
        "responses": {"200": {"description": told, "content": stream}, "default": REFUSED},
    }


def description(found: descriptor_pb2.FileDescriptorSet) -> Schema:
    """Return the description of the contract in these files."""
    files = [File(file) for file in found.file if file.package == PACKAGE]
    schemas = dict(sorted(pair for file in files for pair in file.schemas()))
    bearer = {"type": "http", "scheme": "bearer", "description": "A key, or a token of an issuer."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orderintake",
            "version": "v1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "paths": dict(pair for file in files for pair in file.paths(schemas)),
        "components": {
            "schemas": {**schemas, "Error": ERROR},
            "securitySchemes": {"bearer": bearer},
        },
    }


def main() -> None:
    """Write it to standard output."""
    found = descriptor_pb2.FileDescriptorSet.FromString(sys.stdin.buffer.read())
    print(json.dumps(description(found), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
