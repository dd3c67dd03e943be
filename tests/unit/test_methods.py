"""The table of methods: nothing of the contract is served without a row, and all rows are bound."""

from typing import Any

import pytest
from google.protobuf import empty_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api.access import ANYONE_KNOWN
from orderintake_server.api.endpoints import Endpoints
from orderintake_server.api.methods import SERVICES, TABLE, Row, bound
from orderintake_server.api.work.endpoints import WorkEndpoints
from orderintake_server.errors import StartupFailed
from orderintake_server.metrics import CALL, SUBSCRIPTION

NOTHING: Any = None
ENDPOINTS = Endpoints(NOTHING, NOTHING, responses=NOTHING, ids=NOTHING, refusals=NOTHING)
WORK = WorkEndpoints(NOTHING, NOTHING, responses=NOTHING, ids=NOTHING)


def contract_of(*methods: str) -> Any:  # noqa: ANN401 - a service's descriptor
    """Describe a service with these methods."""
    file = FileDescriptorProto(
        name="shop.proto",
        package="shop",
        syntax="proto3",
        dependency=["google/protobuf/empty.proto"],
    )
    service = file.service.add(name="Shop")
    for name in methods:
        service.method.add(
            name=name, input_type=".google.protobuf.Empty", output_type=".google.protobuf.Empty"
        )
    pool = DescriptorPool()
    pool.AddSerializedFile(empty_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool.FindServiceByName("shop.Shop")


def test_every_method_of_the_contract_is_bound_to_an_endpoint_of_its_own() -> None:
    methods = bound(ENDPOINTS, WORK)
    paths = {f"/{service.full_name}/{m.name}" for service in SERVICES for m in service.methods}
    assert {method.path for method in methods} == paths
    assert len({row.endpoint for row in TABLE.values()}) == len(paths)


def test_a_method_knows_its_messages_and_its_shape() -> None:
    methods = {method.path.rpartition("/")[2]: method for method in bound(ENDPOINTS, WORK)}
    place, stream = methods["PlaceOrder"], methods["StreamCompletions"]
    assert (place.request, place.response) == (api.PlaceOrderRequest, api.PlaceOrderResponse)
    assert (place.takes_stream, place.gives_stream) == (False, False)
    assert (stream.takes_stream, stream.gives_stream) == (False, True)


def test_a_method_without_a_row_stops_the_start() -> None:
    row = Row(endpoint=Endpoints.place_order, rule=ANYONE_KNOWN, meter=CALL)
    with pytest.raises(StartupFailed, match=r"shop\.Shop\.Forgotten"):
        bound(
            ENDPOINTS,
            services=[contract_of("Thought", "Forgotten")],
            table={"shop.Shop.Thought": row},
        )


def test_a_row_without_a_method_stops_the_start() -> None:
    row = Row(endpoint=Endpoints.place_order, rule=ANYONE_KNOWN, meter=CALL)
    with pytest.raises(StartupFailed, match=r"shop\.Shop\.Gone"):
        bound(
            ENDPOINTS,
            services=[contract_of("There")],
            table={"shop.Shop.There": row, "shop.Shop.Gone": row},
        )


def test_a_method_with_another_kinds_meter_stops_the_start() -> None:
    row = Row(endpoint=Endpoints.place_order, rule=ANYONE_KNOWN, meter=SUBSCRIPTION)
    with pytest.raises(StartupFailed, match=r"meter of shop\.Shop\.Thought"):
        bound(ENDPOINTS, services=[contract_of("Thought")], table={"shop.Shop.Thought": row})
