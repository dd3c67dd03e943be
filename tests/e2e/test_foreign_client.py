"""A client that knows nothing of us: `buf curl`, by server reflection alone, with no file."""

import base64
import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from orderintake.v1 import errors_pb2
from support.callers import bearing, entry, key_of, write_access
from support.pki import Pki
from support.process import server_process

BUF = str(Path(sys.executable).parent / "buf")
CURL = (BUF, "curl", "--protocol", "grpc")
PLAIN = "--http2-prior-knowledge"
INTAKE = "orderintake.v1.OrderIntakeService"
PROTOS = Path(__file__).parents[2] / "protos"
SECONDS = 30
INVALID_ARGUMENT, UNAUTHENTICATED = 3 << 3, 16 << 3
"""buf's exit code tells the status times eight."""


class Curl:
    """Calls a server by `buf curl`."""

    def __init__(self, address: str, directory: Path, *options: str) -> None:
        """Call with these options; one of TLS makes it https."""
        is_encrypted = "--cacert" in options
        self._url = f"{'https' if is_encrypted else 'http'}://{address}"
        self._command = (*CURL, *(() if is_encrypted else (PLAIN,)), *options)
        self._directory = directory

    def run(self, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end, where no schema file is."""
        return subprocess.run(
            [*self._command, *arguments, self._url + path],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=self._directory,
        )

    def call(self, method: str, request: object) -> Any:  # noqa: ANN401 - as the server says
        """Make a call that succeeds."""
        end = self.run("--data", json.dumps(request), path=f"/{method}")
        assert end.returncode == 0, end.stderr
        return json.loads(end.stdout)

    def stream(self, method: str, request: object) -> Generator[Any, None, None]:
        """Give the messages of a stream as they come; whoever has enough closes it."""
        command = [*self._command, "--data", json.dumps(request), f"{self._url}/{method}"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                yield from _messages(process)
            finally:
                process.terminate()


def _messages(process: subprocess.Popen[str]) -> Iterator[Any]:
    """Cut what is printed where a message ends."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            yield json.loads("".join(lines))
            lines.clear()


@contextmanager
def _curl(data: Path) -> Iterator[Curl]:
    with server_process(data) as server:
        yield Curl(server.address, data)


@pytest.mark.seconds
def test_reflection_lists_the_services_and_their_methods(tmp_path: Path) -> None:
    with _curl(tmp_path) as curl:
        services = curl.run("--list-services")
        methods = curl.run("--list-methods")
    assert services.stdout.split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "orderintake.v1.OrderAdminService",
        INTAKE,
        "orderintake.v1.OrderWorkService",
    ]
    assert f"{INTAKE}/PlaceOrder" in methods.stdout.split()


@pytest.mark.seconds
def test_an_order_is_placed_its_completion_streamed_and_the_stream_gone_on_with(
    tmp_path: Path,
) -> None:
    request = {
        "customerId": "ada",
        "tier": "TIER_VIP",
        "lines": [{"sku": "tea", "quantity": 2}],
        "payload": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "hot"},
    }
    with _curl(tmp_path) as curl:
        receipt = curl.call(f"{INTAKE}/PlaceOrder", request)
        stream = curl.stream(f"{INTAKE}/StreamCompletions", {"startAt": "START_AT_EARLIEST"})
        first = next(stream)
        completion = next(c for message in stream for c in message.get("completions", ()))
        stream.close()
        after = {"afterCursor": completion["cursor"]}
        rest = curl.stream(f"{INTAKE}/StreamCompletions", after)
        signals = [next(rest)["signal"], next(rest)["signal"]]
        rest.close()
    assert receipt["durability"] == "DURABILITY_FSYNC"
    assert first["signal"] == "SIGNAL_STARTED"
    assert completion["order"]["orderId"] == receipt["order"]["orderId"]
    assert completion["order"]["state"] == "STATE_SUCCEEDED"
    assert {key: completion["order"][key] for key in request} == request
    assert signals == ["SIGNAL_STARTED", "SIGNAL_CAUGHT_UP"]


@pytest.mark.seconds
def test_p4_a_bad_order_is_answered_with_its_reason_and_every_bad_field(tmp_path: Path) -> None:
    with _curl(tmp_path) as curl:
        end = curl.run("--data", '{"lines": [{"sku": "tea"}]}', path=f"/{INTAKE}/PlaceOrder")
    assert end.returncode == INVALID_ARGUMENT
    answer = json.loads(end.stderr)
    info, bad = (base64.b64decode(d["value"] + "==") for d in answer["details"])
    reason = error_details_pb2.ErrorInfo.FromString(info).reason
    fields = [v.field for v in error_details_pb2.BadRequest.FromString(bad).field_violations]
    assert answer["code"] == "invalid_argument"
    assert errors_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    assert reason == "INVALID_ORDER"
    assert fields == ["customer_id", "lines[0].quantity"]


@pytest.mark.seconds
@pytest.mark.parametrize("service", ["", INTAKE])
def test_health_is_told_for_the_server_and_for_the_service(tmp_path: Path, service: str) -> None:
    with _curl(tmp_path) as curl:
        assert curl.call("grpc.health.v1.Health/Check", {"service": service}) == {
            "status": "SERVING"
        }


@pytest.mark.seconds
def test_with_tls_and_a_key_it_places_and_reads_and_without_it_is_refused(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    access = write_access(
        tmp_path / "access.toml", [entry("shop", "customer", "subscriber", customer="ada")]
    )
    headers = tmp_path / "headers"
    headers.write_text("".join(f"{name}: {value}\n" for name, value in bearing(key_of("shop"))))
    with server_process(tmp_path, *pki.arguments, "--access", str(access)) as server:
        trusting = ("--cacert", str(pki.ca))
        shown = ("--header", f"@{headers}", "--reflect-header", "*")
        known = Curl(server.address, tmp_path, *trusting, *shown)
        receipt = known.call(f"{INTAKE}/PlaceOrder", {"lines": [{"sku": "tea", "quantity": 1}]})
        stream = known.stream(f"{INTAKE}/StreamCompletions", {"startAt": "START_AT_EARLIEST"})
        completion = next(c for message in stream for c in message.get("completions", ()))
        stream.close()
        protos = ("--schema", str(PROTOS))  # reflection is for callers that are known, too
        end = Curl(server.address, tmp_path, *trusting, *protos).run(
            "--data", "{}", path=f"/{INTAKE}/ListOrders"
        )
    assert receipt["order"]["customerId"] == "ada"
    assert completion["order"]["orderId"] == receipt["order"]["orderId"]
    assert end.returncode == UNAUTHENTICATED
