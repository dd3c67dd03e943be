"""The Node consumer of docs/consuming.md: it goes on across kills of the server and of itself."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orderintake import Client
from support.callers import entry, key_of, write_access
from support.pki import Pki
from support.process import server_process
from support.program import free_port

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 50
NODE, NPM = shutil.which("node"), shutil.which("npm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages installed, as its first lines say."""
    if not NODE or not NPM:
        pytest.skip("there is no Node")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "consume.mjs"):
        shutil.copy(ROOT / "docs" / "node" / name, folder)
    install = (NPM, "install", "--no-package-lock", "--no-audit", "--no-fund")
    try:
        end = subprocess.run(
            install, cwd=folder, check=False, capture_output=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm takes too long")
    if end.returncode:
        pytest.skip(f"npm cannot install: {end.stderr.decode()[-300:]}")
    return folder


class Consumer:
    """The example at work."""

    def __init__(self, folder: Path, address: str, cursor: str, **variables: str) -> None:
        assert NODE
        self.process = subprocess.Popen(
            [NODE, "consume.mjs", address, cursor, str(ROOT / "protos")],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NODE_NO_WARNINGS": "1"} | variables,
        )

    def read(self, count: int) -> list[int]:
        """Give the sequences of the next completions that it handles."""
        assert self.process.stdout
        return [int(json.loads(self.process.stdout.readline())["sequence"]) for _ in range(count)]

    def ends(self) -> tuple[int, str]:
        """Wait for its end; tell its exit code, and what it said of errors."""
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@contextmanager
def consuming(
    folder: Path, address: str, cursor: str = "cursor", **variables: str
) -> Iterator[Consumer]:
    consumer = Consumer(folder, address, cursor, **variables)
    try:
        yield consumer
    finally:
        consumer.process.kill()
        consumer.process.communicate()


def place(address: str, count: int, **options: Any) -> None:  # noqa: ANN401 - as the client's
    with Client(address, **options) as client:
        for _ in range(count):
            client.place(customer_id="ada", lines={"tea": 1})


@pytest.mark.seconds
@pytest.mark.timeout(110)
def test_the_node_consumer_handles_each_completion_once_across_kills(
    folder: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with server_process(tmp_path, "--listen", address) as server:
        place(address, 20)
        with consuming(folder, address) as consumer:
            found = consumer.read(20)
            server.kill()
            with server_process(tmp_path, "--listen", address):
                place(address, 5)
                found += consumer.read(5)
                consumer.process.terminate()
                assert consumer.ends() == (0, "")
                place(address, 5)
                with consuming(folder, address) as second:
                    found += second.read(5)
    assert found == list(range(1, 31))


@pytest.mark.seconds
def test_the_node_consumer_stops_where_a_person_has_to_decide(folder: Path, tmp_path: Path) -> None:
    (folder / "cursor").write_text("no cursor\n")
    with server_process(tmp_path) as server, consuming(folder, server.address) as consumer:
        code, errors = consumer.ends()
    assert code == 1
    assert "INVALID_ARGUMENT" in errors


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[Pki, tuple[str, ...]]:
    """TLS, and a shop and a reader with keys: the authority, and a server's arguments."""
    pki = Pki(tmp_path)
    entries = [entry("shop", "customer", customer="*"), entry("reader", "subscriber")]
    access = write_access(tmp_path / "access.toml", entries)
    return pki, (*pki.arguments, "--access", str(access))


@pytest.mark.seconds
def test_the_node_consumer_reads_with_tls_and_a_key(
    folder: Path, tmp_path: Path, guarded: tuple[Pki, tuple[str, ...]]
) -> None:
    pki, arguments = guarded
    with server_process(tmp_path, *arguments) as server:
        place(server.address, 3, ca=pki.ca, api_key=key_of("shop"))
        variables = {"ORDERINTAKE_CA": str(pki.ca), "ORDERINTAKE_API_KEY": key_of("reader")}
        with consuming(folder, server.address, "guarded", **variables) as consumer:
            assert consumer.read(3) == [1, 2, 3]
        del variables["ORDERINTAKE_API_KEY"]
        with consuming(folder, server.address, "guarded", **variables) as consumer:
            code, errors = consumer.ends()
    assert code == 1
    assert "UNAUTHENTICATED" in errors


@pytest.mark.seconds
def test_the_node_consumer_shows_its_certificate(
    folder: Path, tmp_path: Path, guarded: tuple[Pki, tuple[str, ...]]
) -> None:
    pki, arguments = guarded
    issued = pki.authority.issue_cert("reader")
    cert, key = tmp_path / "reader.crt", tmp_path / "reader.key"
    cert.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    own = {"ORDERINTAKE_CERT": str(cert), "ORDERINTAKE_KEY": str(key)}
    variables = {"ORDERINTAKE_CA": str(pki.ca), "ORDERINTAKE_API_KEY": key_of("reader"), **own}
    with server_process(tmp_path, *arguments, "--tls-client-ca", str(pki.ca)) as server:
        shop = {"ca": pki.ca, "cert": cert, "key": key, "api_key": key_of("shop")}
        place(server.address, 2, **shop)
        with consuming(folder, server.address, "mutual", **variables) as consumer:
            assert consumer.read(2) == [1, 2]


@pytest.mark.seconds
def test_the_node_consumer_sends_no_key_in_plain_text(folder: Path) -> None:
    secret = {"ORDERINTAKE_API_KEY": key_of("reader")}
    with consuming(folder, "shop.example:50051", "plain", **secret) as consumer:
        code, errors = consumer.ends()
    assert code == 1
    assert "no key is sent in plain text to shop.example:50051" in errors
    assert key_of("reader") not in errors
