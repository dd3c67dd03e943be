"""How a worker reaches its servers: a connection for orders, and one for its signs of life."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import grpc

from orderintake.access.headers import headers
from orderintake.access.identity import Identity
from orderintake.access.local import check_safe
from orderintake.access.tls import tls
from orderintake.aio.bearer import AsyncBearer
from orderintake.channel import checked_target, options
from orderintake.errors import Unauthenticated, from_rpc, translated
from orderintake.sync.bearer import Bearer
from orderintake.v1 import order_work_service_pb2 as api
from orderintake.v1.order_work_service_pb2_grpc import OrderWorkServiceStub
from orderintake.work.finding import why
from orderintake.work.remote.repeats import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from orderintake.access.identity import Token
    from orderintake.access.tls import Pem

SERVICE = api.DESCRIPTOR.services_by_name["OrderWorkService"].full_name


class AccessOptions(TypedDict, total=False):
    """The options of a worker that are AsyncClient's; a token is no async function."""

    credentials: grpc.ChannelCredentials | None
    ca: Pem | None
    cert: Pem | None
    key: Pem | None
    api_key: str | None
    token: Token | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who a worker says it is, and how its connections are encrypted: as Client's options."""

    credentials: grpc.ChannelCredentials | None = None
    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = None
    api_key: str | None = None
    token: Token | None = None


class Line:
    """Where the server is and what is shown to it; nothing is opened before `open`."""

    def __init__(self, target: str, access: Access) -> None:
        """Name the server as Client does; raises as Client's constructor does."""
        self._tls = tls(access.credentials, access.ca, access.cert, access.key)
        self.target = checked_target(target, needs_port=self._tls is None)
        self._identities = [Identity(api_key=access.api_key, token=access.token) for _ in range(2)]
        has_secret = self._identities[0].is_given
        check_safe(target, is_encrypted=self._tls is not None, has_secret=has_secret)
        self._options = options(target, service=SERVICE)
        self._credentials: grpc.ChannelCredentials | None = None

    async def open(self) -> None:
        """Read the files of the certificates. Raises OSError, or ValueError for what is no PEM."""
        self._credentials = await asyncio.to_thread(self._tls.read) if self._tls else None

    def orders(self) -> Orders:
        """Open the connection for orders; it belongs to the event loop that runs."""
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self.target, self._options)
        else:
            channel = grpc.aio.secure_channel(self.target, self._credentials, self._options)
        return Orders(channel, AsyncBearer(self._identities[0]))

    def life(self) -> Life:
        """Open the connection for signs of life, which any thread may use."""
        if self._credentials is None:
            channel = grpc.insecure_channel(self.target, self._options)
        else:
            channel = grpc.secure_channel(self.target, self._credentials, self._options)
        return Life(channel, Bearer(self._identities[1]))


class Orders:
    """The connection over which orders come, and outcomes go."""

    def __init__(self, channel: grpc.aio.Channel, bearer: AsyncBearer) -> None:
        """Make calls over `channel`, which show what `bearer` has."""
        self._channel, self._bearer = channel, bearer
        self._stub: Any = OrderWorkServiceStub(channel)

    async def lease(
        self, request: api.LeaseOrdersRequest, seconds: float
    ) -> api.LeaseOrdersResponse:
        """Call LeaseOrders once. Raises OrderIntakeError, and NoToken."""
        response: api.LeaseOrdersResponse = await self._ask(
            self._stub.LeaseOrders, request, seconds
        )
        return response

    async def end(self, request: api.EndWorkerRequest, seconds: float) -> int:
        """Call EndWorker once; give the orders that wait again. Raises as `lease` does."""
        response: api.EndWorkerResponse = await self._ask(self._stub.EndWorker, request, seconds)
        return response.returned

    async def _ask(self, method: Any, request: object, seconds: float) -> Any:  # noqa: ANN401 - any answer
        shown = await _shown(self._bearer.token())
        try:
            with translated():
                return await method(request, timeout=seconds, metadata=headers(shown))
        except Unauthenticated as error:
            self._bearer.may_renew(shown, error)  # then the repeat shows another one
            raise

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class Life:
    """The connection for signs of life: nothing on it waits for the event loop."""

    def __init__(self, channel: grpc.Channel, bearer: Bearer) -> None:
        """Make calls over `channel`, which show what `bearer` has."""
        self._channel, self._bearer = channel, bearer
        self._stub: Any = OrderWorkServiceStub(channel)

    def shown(self) -> str | None:
        """Give the key or token to show; it may take its time. Raises NoToken."""
        try:
            return self._bearer.token()
        except Exception as error:
            raise NoToken(why(error)) from error

    def keep(
        self, request: api.KeepLeasesRequest, shown: str | None, seconds: float
    ) -> KeepLeasesCall:
        """Begin a KeepLeases call, which its `cancel` ends."""
        begun: KeepLeasesCall = self._stub.KeepLeases.future(
            request, timeout=seconds, metadata=headers(shown)
        )
        return begun

    def answer(self, call: KeepLeasesCall, shown: str | None) -> api.KeepLeasesResponse | None:
        """Wait for its answer; None when it was cancelled here. Raises OrderIntakeError."""
        try:
            response: api.KeepLeasesResponse = call.result()
        except grpc.FutureCancelledError:
            return None
        except grpc.RpcError as failed:
            error = from_rpc(failed)
            if isinstance(error, Unauthenticated):
                self._bearer.may_renew(shown, error)
            raise error from failed
        return response

    def end(self, request: api.EndWorkerRequest, seconds: float) -> None:
        """Call EndWorker once. Raises grpc.RpcError, and NoToken."""
        self._stub.EndWorker(request, timeout=seconds, metadata=headers(self.shown()))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


KeepLeasesCall = Any
"""grpc's future of a KeepLeasesResponse, which has no type of its own for both stacks."""


async def _shown(token: Awaitable[str | None]) -> str | None:
    try:
        return await token
    except Exception as error:
        raise NoToken(why(error)) from error
