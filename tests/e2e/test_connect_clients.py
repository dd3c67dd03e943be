"""Clients of the Connect protocol that nobody here wrote: curl, buf curl, and connect-es."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.callers import entry, key_of, write_access
from support.http_port import http_port
from support.node import installed
from support.process import ServerProcess, server_process

ROOT = Path(__file__).parents[2]
BUF = str(Path(sys.executable).parent / "buf")
CURL, NODE = shutil.which("curl"), shutil.which("node")
INTAKE, ADMIN = "orderintake.v1.OrderIntakeService", "orderintake.v1.OrderAdminService"
HTTP = ("--http", "127.0.0.1:0", "--workers", "0")
ORDER = '{"customerId": "ada", "tier": "TIER_VIP", "lines": [{"sku": "tea", "quantity": 2}]}'
SECONDS = 30


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with server_process(tmp_path / "data", *HTTP) as server:
        yield f"http://127.0.0.1:{http_port(server)}"


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_curl_places_reads_and_follows(url: str) -> None:
    def curl(*arguments: str) -> Any:  # noqa: ANN401 - JSON
        end = run(str(CURL), "--silent", "--show-error", *arguments)
        assert end.returncode == 0, end.stderr
        return json.loads(end.stdout)

    form = ("--header", "Content-Type: application/json", "--compressed")
    placed = curl(*form, "--data", ORDER, f"{url}/{INTAKE}/PlaceOrder")
    query = ("--data-urlencode", f'message={{"orderId": "{placed["order"]["orderId"]}"}}')
    found = curl("--get", *query, "--data", "encoding=json", f"{url}/{INTAKE}/GetOrder")
    refused = curl(*form, "--data", "{}", f"{url}/{INTAKE}/PlaceOrder")
    assert found["order"] == placed["order"]
    assert refused["code"] == "invalid_argument"


@pytest.mark.seconds
@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_p2_a_webhook_that_repeats_over_a_kill_places_one_order(tmp_path: Path) -> None:
    def webhook(server: ServerProcess) -> Any:  # noqa: ANN401 - JSON
        headers = ("-H", "Content-Type: application/json", "-H", "Idempotency-Key: evt-1")
        target = f"http://127.0.0.1:{http_port(server)}/{INTAKE}/PlaceOrder"
        return json.loads(run(str(CURL), "-s", *headers, "-d", ORDER, target).stdout)

    with server_process(tmp_path, *HTTP) as server:
        first = webhook(server)
        server.kill()
    with server_process(tmp_path, *HTTP) as server:
        again = webhook(server)
    assert "replayed" not in first
    assert again["replayed"] is True
    assert again["order"] == first["order"]


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_the_lines_of_the_page_run_as_they_stand_there(url: str) -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    lines = page.partition("```sh\n")[2].partition("```")[0]
    script = lines.replace("http://127.0.0.1:8080", url).replace("curl ", "curl -fsSw '\\n' ")
    placed, found = map(json.loads, run("bash", "-ec", script).stdout.splitlines())
    assert placed["order"]["tier"] == "TIER_VIP"
    assert found["order"] == placed["order"]


@pytest.mark.seconds
def test_buf_curl_speaks_its_default_protocol(url: str) -> None:
    def buf(method: str, request: str) -> subprocess.CompletedProcess[str]:
        return run(
            BUF, "curl", "--schema", "protos", "--data", request, f"{url}/{method}", cwd=ROOT
        )

    placed = json.loads(buf(f"{INTAKE}/PlaceOrder", ORDER).stdout)
    found = buf(f"{INTAKE}/GetOrder", json.dumps({"orderId": placed["order"]["orderId"]}))
    assert json.loads(found.stdout)["order"] == placed["order"]
    refused = buf(f"{INTAKE}/GetOrder", '{"orderId": "x"}')
    assert json.loads(refused.stderr)["code"] == "not_found"
    ended = buf(f"{INTAKE}/StreamCompletions", '{"afterCursor": "x"}')
    assert json.loads(ended.stderr)["code"] == "invalid_argument"
    both = buf(f"{INTAKE}/PlaceOrders", f'{{"orders": [{ORDER}]}}')
    assert both.returncode != 0


def test_buf_curl_streams(url: str) -> None:
    command = (BUF, "curl", "--schema", "protos", "--data", '{"heartbeatInterval": "1s"}')
    with subprocess.Popen(
        [*command, f"{url}/{INTAKE}/StreamCompletions"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        signals = [next(line for line in lines if "signal" in line) for _ in range(2)]
        process.terminate()
    assert "SIGNAL_STARTED" in signals[0]
    assert "SIGNAL_CAUGHT_UP" in signals[1]


@pytest.mark.seconds
def test_a_key_goes_with_a_call(tmp_path: Path) -> None:
    access = write_access(tmp_path / "access.toml", [entry("watch", "observer")])
    with server_process(tmp_path / "data", *HTTP, "--access", str(access)) as server:
        target = f"http://127.0.0.1:{http_port(server)}/{ADMIN}/GetQueueStats"
        command = (BUF, "curl", "--schema", "protos", "--data", "{}")
        key = ("--header", f"Authorization: Bearer {key_of('watch')}")
        known, unknown = run(*command, *key, target, cwd=ROOT), run(*command, target, cwd=ROOT)
    assert len(json.loads(known.stdout)["tiers"]) == 2
    assert json.loads(unknown.stderr)["code"] == "unauthenticated"


# connect-es


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages installed and its code generated, as its first lines say."""
    folder = installed(tmp_path_factory.mktemp("connect"), "connect", "connect_check.mjs")
    generated = run(BUF, "generate", str(ROOT / "protos"), cwd=folder)
    assert generated.returncode == 0, generated.stderr
    return folder


@pytest.mark.seconds
@pytest.mark.timeout(110)
def test_generated_clients_for_node_and_browsers_do_everything(folder: Path, url: str) -> None:
    end = run(str(NODE), "connect_check.mjs", url, cwd=folder)
    assert end.returncode == 0, end.stderr
    found = [json.loads(line) for line in end.stdout.splitlines()]
    assert [each for each in found if each["isGood"] is not True] == []
    assert Counter(each["client"] for each in found) == {"connect-node": 48, "connect-web": 48}


@pytest.mark.seconds
@pytest.mark.timeout(110)
def test_the_example_places_an_order_and_waits_for_its_completion(
    folder: Path, tmp_path: Path
) -> None:
    with server_process(tmp_path / "data", *HTTP, "--workers", "1") as server:
        end = run(str(NODE), "place.mjs", f"http://127.0.0.1:{http_port(server)}", cwd=folder)
    assert end.returncode == 0, end.stderr
    assert "completed, the 1. of all" in end.stdout
