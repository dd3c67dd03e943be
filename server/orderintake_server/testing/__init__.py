"""For tests of code that uses the service: a whole server in their own process, under control.

    async with server(data=tmp_path) as shop, AsyncClient(shop.address) as client:
        shop.hold()
        receipt = await client.place(customer_id="ada", lines={"tea": 1})
        await shop.starts(1)
        shop.release()

`serving` is the same for plain tests, without asyncio. `orderintake_server.pytest_plugin` has both
as fixtures. No wait lasts for ever: each raises TimeoutError that says what did not come.
"""

from orderintake_server.testing.threads import SyncClock, SyncServerUnderTest, serving
from orderintake_server.testing.under_test import Clock, ServerUnderTest, server

__all__ = ["Clock", "ServerUnderTest", "SyncClock", "SyncServerUnderTest", "server", "serving"]
