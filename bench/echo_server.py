"""The floor: a bare grpc.aio server on uvloop that answers PlaceOrder and does nothing else."""

from typing import Any

import grpc
import uvloop

from orderintake.v1 import order_intake_service_pb2 as api

METHOD = "PlaceOrder"
SERVICE = "orderintake.v1.OrderIntakeService"


async def echo(
    request: api.PlaceOrderRequest, _: grpc.aio.ServicerContext[Any, Any]
) -> api.PlaceOrderResponse:
    """Answer with a receipt of the usual size, made of the request."""
    response = api.PlaceOrderResponse(durability=api.DURABILITY_FSYNC, cursor="0" * 23)
    response.order.order_id = "00000000-000000000001"
    response.order.customer_id = request.customer_id
    response.order.tier = request.tier
    response.order.lines.extend(request.lines)
    response.order.accept_sequence = 1
    response.order.accept_time.seconds = 1
    return response


async def serve() -> None:
    """Serve until killed; print the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=api.PlaceOrderRequest.FromString,
        response_serializer=api.PlaceOrderResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
