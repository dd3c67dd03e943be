"""A worker for programs of Python: leases orders from a server, and runs a handler for each."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import grpc

from orderintake.times import seconds
from orderintake.v1.order_work_service_pb2 import EndWorkerRequest
from orderintake.work.finding import check
from orderintake.work.handlers import CallPolicy, HandlerCalls
from orderintake.work.lifespan import lifespan as living
from orderintake.work.remote.book import About
from orderintake.work.remote.line import Access, Line
from orderintake.work.remote.repeats import NoToken
from orderintake.work.remote.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType
    from typing import Unpack

    from orderintake.errors import OrderIntakeError
    from orderintake.work.attempt import OrderAttempt
    from orderintake.work.remote.line import AccessOptions

DONE, UNTOLD, STUCK = 0, 1, 75
"""How a worker ended, as the exit code of its process; 75 is sysexits.h's for "try again"."""
SERVER = "127.0.0.1:50051"
SLOTS, MOST_SLOTS = 8, 10_000
DRAIN_SECONDS = 20.0
MOST_NAME, MOST_ID = 128, 64

_log = logging.getLogger(__name__)


class Worker:
    """Processes orders in slots, from `run()` until `stop()`, or inside its `async with` block.

    It ends by draining: it asks for no more orders, attempts under way get `drain_timeout` seconds,
    late ones are cancelled and given back, and the server is told. A worker runs once.
    """

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        handler: Callable[[OrderAttempt], Any],
        *,
        server: str = SERVER,
        slots: int = SLOTS,
        lifespan: Callable[[], Any] | None = None,
        drain_timeout: float = DRAIN_SECONDS,
        name: str | None = None,
        worker_id: str | None = None,
        tells_text: bool = False,
        on_ready: Callable[[], object] | None = None,
        **access: Unpack[AccessOptions],
    ) -> None:
        """Run `handler` for each order of `server`, in so many slots at once; nothing is begun yet.

        A handler is a coroutine, or any callable: that is called in a thread of its slot. It takes
        an OrderAttempt; it returns a message, None, or raises: see Reject and Retry. `lifespan`
        gives a context manager, async or not, that is entered before the first order and left after
        the last one; its value is each order's `resources`.

        `name` is what people are told of the worker: host and process by default. `worker_id` names
        this one life of it: random by default. With `tells_text` a failure's message has the text
        of an exception that nobody expected, else its class only. `on_ready` is called once, when a
        server knows the worker. The further options are those of AsyncClient.

        Raises:
            TypeError, ValueError: an option is no good, or would send a key in plain text.
            HandlerUnusable: the handler could process no order.
        """
        self._handler_name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
        check(handler, self._handler_name)
        self._handler, self._lifespan = handler, lifespan
        self._slots = _between("slots", slots, 1, MOST_SLOTS)
        self._drain_seconds = seconds("drain_timeout", drain_timeout)
        self._name = _text("name", name, MOST_NAME) or f"{socket.gethostname()}:{os.getpid()}"
        self._worker_id = _text("worker_id", worker_id, MOST_ID) or secrets.token_hex(16)
        self._tells_text = tells_text
        self._on_ready = on_ready or (lambda: None)
        self._line = Line(server, Access(**access))
        self._over = asyncio.Event()
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._beginning: asyncio.Timeout | None = None
        """As long as the lifespan begins: what ends it."""
        self._is_used = self._is_hurried = False
        self._refusal: OrderIntakeError | None = None
        self.exit_code = DONE
        """How it ended: 0; 75, half of its slots hang in the handler, so a new process is needed;
        1, the server did not hear what came of each attempt, or would not have the worker."""

    @property
    def worker_id(self) -> str:
        """The name of this one life of it."""
        return self._worker_id

    async def run(self) -> int:
        """Work until `stop()` is called, or half of the slots hang; give the `exit_code`.

        A caller that is cancelled drains it too. Servers that do not answer are waited for.

        Raises:
            HandlerUnusable: the lifespan cannot begin.
            OrderIntakeError: the first server that answered will have no such worker: it does not
                know the key or token, or that one has not the role `worker`.
            OSError, ValueError: a file of a certificate cannot be read.
        """
        async with self:
            await self._over.wait()
        return self.exit_code

    def stop(self) -> None:
        """Begin to drain; called in its event loop. A lifespan that begins is cancelled."""
        self._over.set()
        if self._beginning is not None:
            self._beginning.reschedule(0)
            self._beginning = None

    def hurry(self) -> None:
        """Drain within a second: cancel what is under way, and give it back."""
        self._is_hurried = True
        self.stop()
        if self._session is not None:
            self._session.hurry()

    def announce_stop(self) -> None:
        """Tell the server that it will stop, from any thread: also while a handler blocks its loop.

        From then on no death of it is counted.
        """
        if self._session is not None:
            self._session.announce_stop()

    def give_up(self, seconds: float) -> None:
        """Give back all that it has, from any thread, for a process that ends without draining.

        The server may take so many seconds to hear of it.
        """
        request = EndWorkerRequest(worker_id=self._worker_id)
        with suppress(grpc.RpcError, NoToken):
            self._line.life().end(request, seconds)

    async def __aenter__(self) -> Self:
        """Begin to work; raises as `run` does."""
        if self._is_used:
            raise RuntimeError("a worker runs once: make another one")
        self._is_used = True
        await self._line.open()
        try:
            async with asyncio.timeout(0 if self._over.is_set() else None) as self._beginning:
                self._session = await self._stack.enter_async_context(self._working())
        except TimeoutError:
            _log.info("stopped before the lifespan had begun")
        finally:
            self._beginning = None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain. Raises what refused the worker, if there is no other error."""
        self.stop()
        await self._stack.aclose()
        if self._refusal is not None and error is None:
            raise self._refusal

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[Session]:
        policy = CallPolicy(name=self._handler_name, slots=self._slots, tells_text=self._tells_text)
        async with living(self._lifespan, self._handler_name) as resources:
            with HandlerCalls(self._handler, policy) as calls:
                about = About(self._worker_id, self._name, self._slots)
                session = Session(self._line, about, calls, resources)
                session.on_begun, session.on_refused = self._begun, self._refused
                session.on_stuck = self._stuck
                session.start()
                try:
                    yield session
                finally:
                    await self._drain(session)

    async def _drain(self, session: Session) -> None:
        _log.info("stopping", extra={"drain_timeout": self._drain_seconds})
        if self._is_hurried:
            session.hurry()
        if not await session.drain(self._drain_seconds) and self.exit_code == DONE:
            self.exit_code = UNTOLD
        _log.info("stopped", extra={"exit_code": self.exit_code})

    def _begun(self) -> None:
        about = {"worker_id": self._worker_id, "server": self._line.target, "slots": self._slots}
        _log.info("working", extra=about)
        self._on_ready()

    def _refused(self, error: OrderIntakeError) -> None:
        self._refusal, self.exit_code = error, UNTOLD
        self.stop()

    def _stuck(self) -> None:
        if not self._over.is_set():
            self.exit_code = STUCK
            _log.error("half of the slots hang in the handler: the worker ends, to be started anew")
            self.stop()


def _between(name: str, number: int, least: int, most: int) -> int:
    if not isinstance(number, int):
        raise TypeError(f"{name} must be a number, not {type(number).__name__}")
    if not least <= number <= most:
        raise ValueError(f"{name} must be {least} to {most}, and is {number}")
    return number


def _text(name: str, text: str | None, most: int) -> str | None:
    if text is not None and not (0 < len(text) <= most and text.isprintable()):
        raise ValueError(f"{name} must be 1 to {most} printable characters")
    return text
