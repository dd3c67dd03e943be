"""An error as the Connect protocol tells it: a JSON object."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from aiohttp import web

from orderintake_server.http.json import detail_json

if TYPE_CHECKING:
    from orderintake_server.http.codes import Told


def error_object(told: Told) -> dict[str, Any]:
    """Return what a caller is told; the same details as gRPC's."""
    found: dict[str, Any] = {"code": told.code.name.lower().replace("cancelled", "canceled")}
    if told.text:
        found["message"] = told.text
    if told.details:
        found["details"] = [
            {
                "type": detail.type_url.rpartition("/")[2],
                "value": base64.b64encode(detail.value).rstrip(b"=").decode(),
                "debug": detail_json(detail),
            }
            for detail in told.details
        ]
    return found


def error_headers(told: Told) -> dict[str, str]:
    """Return what HTTP itself has words for: when to come again, and how to say who one is."""
    headers = {}
    if told.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(told.retry_after / 1_000))
    if told.code.status == web.HTTPUnauthorized.status_code:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_answer(told: Told) -> web.Response:
    """Return the answer to a unary call that met an error."""
    return web.Response(
        status=told.code.status,
        body=json.dumps(error_object(told)).encode(),
        content_type="application/json",
        headers=error_headers(told),
    )
