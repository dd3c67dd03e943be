"""The OpenAPI description: by the standard, of every method, and true of what is answered."""

import json
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from orderintake_server.api.methods import SERVICES
from support.connect import ADMIN, INTAKE, WORK, asked
from support.events import events
from support.http_listener import listening
from support.process import TESTS

FILE = TESTS.parent / "server" / "orderintake_server" / "http" / "openapi.json"
DESCRIBED: dict[str, Any] = json.loads(FILE.read_text())
LATER = "2999-01-01T00:00:00Z"
ORDER = {
    "requestId": "one",
    "customerId": "ada",
    "tier": "TIER_VIP",
    "lines": [{"sku": "tea", "quantity": 2}],
    "labels": {"channel": "web"},
    "payload": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"},
}
FAILS = {**ORDER, "requestId": "two", "labels": {"processing_time": "bad"}}


def of_method(method: Any) -> str:  # noqa: ANN401 - protobuf's descriptor
    return f"/{method.containing_service.full_name}/{method.name}"


METHODS = [method for service in SERVICES for method in service.methods]


def schema(found: dict[str, Any]) -> OAS31Validator:
    """Give what tells whether values are as a schema of the description says."""
    whole = {**found, "components": DESCRIBED["components"]}
    return OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER)


def named(name: str) -> OAS31Validator:
    """Do the same for one of its messages."""
    return schema({"$ref": f"#/components/schemas/{name}"})


def test_it_is_a_description_by_the_standard() -> None:
    assert list(OpenAPIV31SpecValidator(DESCRIBED).iter_errors()) == []
    assert DESCRIBED["openapi"] == "3.1.0"


def test_it_has_every_method_that_is_served_by_http() -> None:
    served = {of_method(method) for method in METHODS if not method.client_streaming}
    assert DESCRIBED["paths"].keys() == served
    for path, operations in DESCRIBED["paths"].items():
        for operation in operations.values():
            assert operation["description"], path


async def test_it_is_shown(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        answer = await asked(port, "/openapi.json", method="GET")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.body == FILE.read_bytes()


async def test_each_verb_that_it_has_is_served_and_gets_are_there_for_no_other(
    tmp_path: Path,
) -> None:
    query = "?encoding=json&message=%7B%22unknown%22%3A1%7D"
    async with listening(tmp_path) as port:
        for path, operations in DESCRIBED["paths"].items():
            got = await asked(port, path + query, method="GET")
            assert got.status == (400 if "get" in operations else 405), path
            if "post" in operations:
                assert (await asked(port, path, {"unknown": 1})).status == 400, path


class Caller:
    """Calls methods; fails unless what is asked and answered is as the description says."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.called: set[str] = set()

    async def call(self, path: str, request: dict[str, Any]) -> Any:  # noqa: ANN401 - its answer
        self.called.add(path)
        operation = DESCRIBED["paths"][path]["post"]
        schema(json_of(operation["requestBody"])).validate(request)
        answer = await asked(self._port, path, request)
        told = operation["responses"]["200" if answer.status == 200 else "default"]
        schema(json_of(told)).validate(answer.json)
        return answer.json


def json_of(described: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of a request's body, or of an answer."""
    found: dict[str, Any] = described["content"]["application/json"]["schema"]
    return found


async def test_what_is_asked_and_answered_is_as_it_says(tmp_path: Path) -> None:
    async with listening(tmp_path, workers=2, max_attempts=1) as port:
        caller = Caller(port)
        receipt = await caller.call(f"{INTAKE}/PlaceOrder", ORDER)
        batch = {"requests": [FAILS, {**ORDER, "requestId": "later", "notBefore": LATER}]}
        _, later = (await caller.call(f"{INTAKE}/BatchPlaceOrders", batch))["receipts"]
        async with events(port) as stream:
            await caller.call(f"{ADMIN}/ListSubscribers", {})
            ended = [(await stream.named("message")).json for _ in range(2)]
        for completion in ended:
            named("Completion").validate(completion)
        for path, request in requests(failed=order_id(ended[1]), scheduled=order_id(later)):
            assert "code" not in await caller.call(path, request), path
        refused = await caller.call(f"{INTAKE}/GetOrder", {"orderId": "none"})
    assert caller.called == {path for path, found in DESCRIBED["paths"].items() if "post" in found}
    assert receipt["order"]["payload"] == ORDER["payload"]
    assert refused["code"] == "not_found"


def requests(*, failed: str, scheduled: str) -> list[tuple[str, dict[str, Any]]]:
    """Give a request of each other method."""
    return [
        (f"{INTAKE}/GetOrder", {"orderId": failed}),
        (f"{INTAKE}/GetOrder", {"orderId": scheduled}),
        (f"{INTAKE}/CancelOrder", {"orderId": scheduled}),
        (f"{INTAKE}/ListOrders", {"state": "STATE_FAILED"}),
        (f"{INTAKE}/ListCompletions", {"pageSize": 2}),
        (f"{ADMIN}/ListFailures", {"filter": {"tier": "TIER_VIP"}, "pageSize": 5}),
        (f"{ADMIN}/RedriveOrder", {"orderId": failed}),
        (f"{ADMIN}/ListFailures", {"includeRedriven": True}),
        (f"{ADMIN}/RedriveOrders", {"requestId": "four", "all": True}),
        (f"{ADMIN}/CancelOrders", {"requestId": "five", "all": True}),
        (f"{ADMIN}/PauseTier", {"tier": "TIER_REGULAR"}),
        (f"{ADMIN}/ResumeTier", {"tier": "TIER_REGULAR"}),
        (f"{ADMIN}/GetQueueStats", {}),
        (f"{ADMIN}/ListServers", {}),
        (f"{ADMIN}/ListOperatorActions", {}),
        (f"{WORK}/LeaseOrders", {"workerId": "me", "call": "1", "slots": 1, "wait": "0s"}),
        (f"{WORK}/KeepLeases", {"workerId": "me", "stopping": True, "inventory": {}}),
        (f"{ADMIN}/ListWorkers", {}),
        (f"{WORK}/EndWorker", {"workerId": "me"}),
    ]


def order_id(found: dict[str, Any]) -> str:
    """Tell whose it is."""
    return str(found["order"]["orderId"])


def test_what_the_server_refuses_does_not_fit() -> None:
    subscriptions = named("StreamCompletionsRequest")
    assert subscriptions.is_valid(
        {"tier": "TIER_VIP", "afterCursor": "c", "heartbeatInterval": "2.5s"}
    )
    for bad in (
        *({"tier": "VIP"}, {"customer": "ada"}, {"heartbeatInterval": "5"}),
        {"startAt": "START_AT_LATEST", "afterCursor": "c"},
    ):
        assert not subscriptions.is_valid(bad), bad
