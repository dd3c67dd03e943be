"""TLS on the real process: who is let in, and certificates that are replaced while it runs."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGHUP

import grpc
import pytest
import trustme

from orderintake import AsyncClient, DeadlineExceeded, Unavailable
from support.pki import Pki, replace
from support.process import ServerProcess, run_to_end, server_process

pytestmark = pytest.mark.seconds


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def server(pki: Pki, tmp_path: Path) -> Iterator[ServerProcess]:
    with server_process(tmp_path / "data", *pki.arguments) as process:
        yield process


async def _places(address: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Tell whether an order can be placed."""
    async with AsyncClient(address, credentials=credentials, timeout=2) as client:
        try:
            await client.place(customer_id="ada", lines={"tea": 1})
        except (Unavailable, DeadlineExceeded):
            return False
        return True


async def test_only_who_trusts_its_authority_and_speaks_tls_gets_in(
    pki: Pki, server: ServerProcess
) -> None:
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    assert await _places(server.address, pki.credentials())
    assert not await _places(server.address, None)
    assert not await _places(server.address, stranger)
    assert await server.stops() == 0
    assert not [event for event in server.events() if ".cc:" in str(event)], "gRPC's own lines"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_of_tls_are_refused(server: ServerProcess, version: str) -> None:
    said = _handshake(server.address, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "no peer certificate available" in said
    assert "TLSv1.2" in _handshake(server.address, "-tls1_2")


def _handshake(address: str, *options: str) -> str:
    """Tell what openssl says of a handshake."""
    command = ["openssl", "s_client", "-connect", address, *options]
    end = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    return end.stdout + end.stderr


async def test_with_an_authority_clients_must_show_a_certificate_of_its(
    pki: Pki, tmp_path: Path
) -> None:
    ours, theirs = pki.authority.issue_cert("kitchen"), trustme.CA().issue_cert("kitchen")
    arguments = (*pki.arguments, "--tls-client-ca", str(pki.ca))
    with server_process(tmp_path / "data", *arguments) as server:
        assert await _places(server.address, pki.credentials(ours))
        assert not await _places(server.address, pki.credentials())
        assert not await _places(server.address, pki.credentials(theirs))


async def test_certificates_are_replaced_under_load_and_a_bad_pair_is_kept_out(
    pki: Pki, server: ServerProcess
) -> None:
    first = await _shown(server.address)
    stop = asyncio.Event()
    load = [asyncio.create_task(_connect_on(server.address, pki, stop)) for _ in range(50)]
    shown, renewed = {first}, first
    for _ in range(5):
        renewed = pki.renew()
        server.signal(SIGHUP)
        server.wait_for("a file was read again")
        while (now := await _shown(server.address)) != renewed:
            shown.add(now)
        shown.add(renewed)
    replace(pki.key, trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    server.signal(SIGHUP)
    refused = server.wait_for("a file is refused; what was read before stays")
    assert refused["level"] == "error"
    assert await _shown(server.address) == renewed
    stop.set()
    assert sum(await asyncio.gather(*load)) >= 50
    assert len(shown) == 6
    assert await _places(server.address, pki.credentials())
    assert await server.stops() == 0


async def test_a_key_that_comes_before_its_certificate_is_waited_for(
    pki: Pki, server: ServerProcess
) -> None:
    """Whichever of the two is written first, a look between them changes nothing."""
    first, certificate = await _shown(server.address), pki.cert.read_bytes()
    renewed = pki.renew()
    late = pki.cert.read_bytes()
    replace(pki.cert, certificate)
    server.signal(SIGHUP)
    server.wait_for("a file is refused; what was read before stays")
    assert await _shown(server.address) == first
    replace(pki.cert, late)
    server.signal(SIGHUP)
    server.wait_for("a file was read again")
    while await _shown(server.address) == first:  # gRPC asks before each handshake
        pass
    assert await _shown(server.address) == renewed
    assert await _places(server.address, pki.credentials())


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_private_key_that_others_may_read_is_told_with_what_mends_it(
    pki: Pki, tmp_path: Path, mode: int, *, is_told: bool
) -> None:
    pki.key.chmod(mode)
    with server_process(tmp_path / "data", *pki.arguments) as server:
        told = [entry["mend"] for entry in server.log if "mend" in entry]
    assert told == ([f"chmod g-w,o-rwx {pki.key}"] if is_told else [])


async def _shown(address: str) -> bytes:
    """Give the certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    pem = await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)), timeout=20)
    return ssl.PEM_cert_to_DER_cert(pem)


async def _connect_on(address: str, pki: Pki, stop: asyncio.Event) -> int:
    """Connect again and again until told to stop; give how often that went well."""
    count = 0
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.set_alpn_protocols(["h2"])
    while not stop.is_set() or not count:
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        count += 1
        writer.close()
        with suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
    return count


async def test_a_unix_socket_is_its_owners_and_never_taken_over(pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "orders.sock"
    socket = f"unix:{path}"
    arguments = (*pki.arguments, "--listen", f"127.0.0.1:0,{socket}")
    with server_process(tmp_path / "data", *arguments) as server:
        assert server.wait_for("listening")["address"] == socket
        assert path.stat().st_mode & 0o777 == 0o600
        assert await _places(socket, None)
        assert await _places(server.address, pki.credentials())
        end = run_to_end("--data", str(tmp_path / "other"), "--listen", socket)
        assert end.returncode == 1
        assert "another server answers on it" in end.stderr
        assert await _places(socket, None)
        server.kill()  # the socket's file stays behind
    assert path.exists()
    with server_process(tmp_path / "data", "--listen", socket):
        assert await _places(socket, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "not encrypted, and anybody there may do everything"),
        (("--tls",), "and anybody there may do everything"),
    ],
)
def test_other_machines_reach_it_only_when_that_is_safe_or_said(
    pki: Pki, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = pki.arguments if arguments else ()
    data = ("--data", str(tmp_path / "data"))
    end = run_to_end("--listen", "0.0.0.0:0", *data, *given)
    assert end.returncode == 1
    assert said in end.stderr
    assert "--insecure" in end.stderr
    with server_process(tmp_path / "data", "--listen", "0.0.0.0:0", "--insecure", *given) as server:
        warning = next(e for e in server.log if e["event"] == "other machines reach this server")
    assert warning["level"] == "warning"


@pytest.mark.parametrize("what", ["pair", "junk", "missing", "password", "ca"])
def test_a_certificate_that_cannot_be_used_is_told_at_start(
    pki: Pki, tmp_path: Path, what: str
) -> None:
    arguments = pki.arguments
    if what == "pair":
        other = pki.authority.issue_cert("localhost")
        pki.key.write_bytes(other.private_key_pem.bytes())
    elif what == "junk":
        pki.cert.write_bytes(os.urandom(100))
    elif what == "missing":
        pki.key.unlink()
    elif what == "password":
        pki.key.write_text(_LOCKED)
    else:
        pki.ca.write_text("none")
        arguments = (*arguments, "--tls-client-ca", str(pki.ca))
    end = run_to_end("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *arguments)
    assert end.returncode == 1
    assert "certificate: " in end.stderr
    assert "Traceback" not in end.stderr


_LOCKED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBBJ2R/Yz8Z3dJr3W0cW
AgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQ
-----END ENCRYPTED PRIVATE KEY-----
"""
