"""How commands connect with TLS and say who calls; a secret is in no argument and no output."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from typer.testing import CliRunner, Result

from client.cli.command import lines_of
from client.fake_server import FakeServer, Refusal
from orderintake.cli.app import app

SECRET, TOKEN = "oik_0123456789-abcdef", "eyJhbGciOi.J9.x"
AUTHORITY = trustme.CA()
OURS = AUTHORITY.issue_cert("kitchen")


def run(*arguments: str, **variables: str) -> Result:
    """Run a command to its end; no secret is in what it says."""
    result = CliRunner().invoke(app, arguments, env=variables)
    assert SECRET not in result.output
    assert TOKEN not in result.output
    return result


def usage(result: Result) -> str:
    """Give what a wrong command was told, without the box and its lines."""
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())


def secret_file(path: Path, secret: str, *, mode: int = 0o600) -> str:
    path.write_text(secret)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    return secret_file(tmp_path / "key", f"{SECRET}\n")


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    return secret_file(tmp_path / "token", f"{TOKEN}\n")


def shown(server: FakeServer) -> list[str | None]:
    return [each.get("authorization") for each in server.servicer.metadata]


def test_a_key_or_token_comes_from_a_file_or_a_variable(
    server: FakeServer, key_file: str, token_file: str
) -> None:
    get = ("--server", server.target, "get", "order-1")
    for arguments, variables in [
        (("--api-key-file", key_file), {}),
        (("--token-file", token_file), {}),
        ((), {"ORDERINTAKE_API_KEY": SECRET}),
        ((), {"ORDERINTAKE_TOKEN": TOKEN}),
        ((), {"ORDERINTAKE_API_KEY_FILE": key_file}),
        ((), {"ORDERINTAKE_TOKEN_FILE": token_file}),
        ((), {"ORDERINTAKE_API_KEY": "", "ORDERINTAKE_TOKEN_FILE": ""}),
    ]:
        result = run(*get, *arguments, **variables)
        assert (result.exit_code, result.stderr) == (0, "")
    key, token = f"Bearer {SECRET}", f"Bearer {TOKEN}"
    assert shown(server) == [key, token, key, token, key, token, None]


def test_an_option_wins_over_variables_and_two_of_a_kind_contradict(
    server: FakeServer, key_file: str, token_file: str
) -> None:
    get = ("--server", server.target, "get", "order-1")
    variables = {"ORDERINTAKE_API_KEY": "other", "ORDERINTAKE_TOKEN_FILE": "nowhere"}
    assert run(*get, "--api-key-file", key_file, **variables).exit_code == 0
    for arguments, environment, told in [
        (("--api-key-file", key_file, "--token-file", token_file), {}, "--token-file contradict"),
        ((), variables, "ORDERINTAKE_TOKEN_FILE and ORDERINTAKE_API_KEY contradict each other"),
    ]:
        result = run(*get, *arguments, **environment)
        assert told in usage(result)
    assert shown(server) == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("option", ["--api-key-file", "--token-file", "--key", "--cert", "--ca"])
@pytest.mark.parametrize("secret", [SECRET, TOKEN])
def test_a_secret_in_place_of_its_file_is_refused_and_not_shown(option: str, secret: str) -> None:
    result = run(option, secret, "get", "order-1")
    assert "give the path of a file, not what is in it" in usage(result)


def test_there_is_no_option_for_the_secret_itself() -> None:
    result = run("--api-key", "x", "get", "order-1")
    assert "--api-key-file" in usage(result)


def test_a_file_that_others_may_read_is_warned_of(server: FakeServer, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key", SECRET, mode=0o640)
    result = run("--server", server.target, "get", "order-1", "--api-key-file", path)
    assert result.exit_code == 0
    assert result.stderr == f"others on this machine may read {path}: chmod 600 {path}\n"


@pytest.mark.parametrize("content", ["", "\n", f"{SECRET}\n{SECRET}", f"Bearer {SECRET}"])
def test_a_file_with_more_or_less_than_a_key_is_told(
    server: FakeServer, tmp_path: Path, content: str
) -> None:
    path = secret_file(tmp_path / "key", content)
    result = run("--server", server.target, "get", "order-1", "--api-key-file", path)
    assert "must hold a key or token, and nothing else" in usage(result)


def test_a_file_that_is_not_there_is_told_when_it_is_needed(server: FakeServer) -> None:
    result = run("--server", server.target, "--token-file", "nowhere", "get", "order-1")
    assert (result.exit_code, result.stderr) == (74, "nowhere: No such file or directory\n")
    assert run("--token-file", "nowhere", "get", "--help").exit_code == 0


def test_a_token_file_is_read_again_when_the_token_has_expired(
    server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    secret_file(path, "t1")

    class Expired(Refusal):
        def end(self, context: grpc.ServicerContext) -> None:
            path.write_text("t2\n")
            super().end(context)

    expired = Expired(
        code=grpc.StatusCode.UNAUTHENTICATED,
        reason="UNAUTHENTICATED",
        metadata={"problem": "EXPIRED"},
    )
    server.servicer.endings.append(expired)
    result = run("--server", server.target, "--token-file", str(path), "get", "order-1")
    assert result.exit_code == 0
    assert shown(server) == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("MISSING", "the server does not know who calls: give --api-key-file or ORDERINTAKE_API_"),
        ("INVALID", "the server does not know this key or token"),
        ("EXPIRED", "the key or token has ended, or was taken away: get another one"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_who_is_not_known_is_told_what_to_do(
    server: FakeServer, problem: str, told: str, form: tuple[str, ...]
) -> None:
    server.servicer.endings.append(
        Refusal(
            code=grpc.StatusCode.UNAUTHENTICATED,
            reason="UNAUTHENTICATED",
            metadata={"problem": problem},
        )
    )
    get = ("--server", server.target, "get", "order-1", *form)
    result = run(*get, ORDERINTAKE_API_KEY=SECRET)
    assert result.exit_code == 77
    if form:
        (error,) = lines_of(result.stderr)
        assert error["message"].startswith(told)
        assert error["metadata"] == {"problem": problem}
    else:
        assert result.stderr.startswith(f"UNAUTHENTICATED: {told}")


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        ("operator", "the caller may not do this: it needs the role operator"),
        ("customer", "the caller may do this for its own customer only"),
    ],
)
def test_who_may_not_is_told_what_is_needed(
    server: FakeServer, tmp_path: Path, needs: str, told: str
) -> None:
    refusal = Refusal(
        code=grpc.StatusCode.PERMISSION_DENIED, reason="NOT_ALLOWED", metadata={"needs": needs}
    )
    orders = tmp_path / "orders"
    orders.write_text('{"customer_id": "ada", "lines": [{"sku": "tea", "quantity": 1}]}\n')
    server.servicer.endings.append(refusal)
    server.servicer.refused.append(refusal)
    for line, command in (("", ("get", "order-1")), ("line 1: ", ("place", "--file", str(orders)))):
        result = run("--server", server.target, *command)
        assert result.exit_code == 77
        assert result.stderr.startswith(f"NOT_ALLOWED: {line}{told}\n")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """An authority's certificate, and a client's certificate and key."""
    contents = {
        "ca": AUTHORITY.cert_pem.bytes(),
        "cert": OURS.cert_chain_pems[0].bytes(),
        "key": OURS.private_key_pem.bytes(),
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
        (tmp_path / f"{name}.pem").chmod(0o600)
    return {name: str(tmp_path / f"{name}.pem") for name in contents}


@pytest.fixture
def mutual() -> Iterator[FakeServer]:
    """A server that wants certificates."""
    issued = AUTHORITY.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials(
        [pair], AUTHORITY.cert_pem.bytes(), require_client_auth=True
    )
    with FakeServer(credentials) as server:
        yield server


def test_certificates_are_options_before_or_after_the_command_or_variables(
    mutual: FakeServer, files: dict[str, str]
) -> None:
    arguments = ["--tls", "--ca", files["ca"], f"--cert={files['cert']}", "--key", files["key"]]
    variables = {f"ORDERINTAKE_{name.upper()}": path for name, path in files.items()}
    at, get = ("--server", mutual.target), ("get", "order-1")
    assert run(*at, *arguments, *get).exit_code == 0
    assert run(*get, *arguments, *at).exit_code == 0
    assert run(*at, *get, **variables).exit_code == 0
    Path(files["key"]).chmod(0o644)
    assert "chmod 600" in run(*at, *get, **variables).stderr


@pytest.mark.parametrize("arguments", [("--cert", "x"), ("--key", "x", "--ca", "y")])
def test_half_a_pair_is_told(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "get", "order-1")
    assert "cert and key belong together: give both or neither" in usage(result)


def test_no_secret_goes_to_another_machine_in_plain_text(files: dict[str, str]) -> None:
    get = ("--server", "shop:1", "--timeout", "0.01", "get", "order-1")
    for variables in ({"ORDERINTAKE_API_KEY": SECRET}, {"ORDERINTAKE_TOKEN_FILE": "file"}):
        result = run(*get, **variables)
        assert "not sent in plain text to shop:1" in usage(result)
        assert "give --tls, or --ca FILE" in usage(result)
    for option in (("--tls",), ("--ca", files["ca"])):
        assert run(*get, *option, ORDERINTAKE_API_KEY=SECRET).exit_code == 1


def test_a_unix_socket_is_a_server_too_and_is_not_encrypted(
    tmp_path: Path, key_file: str, files: dict[str, str]
) -> None:
    target = f"unix:{tmp_path}/orders.sock"
    get = ("--server", target, "get", "order-1", "--api-key-file", key_file)
    with FakeServer(place=target) as server:
        assert run(*get).exit_code == 0
        assert shown(server) == [f"Bearer {SECRET}"]
    for option in (("--tls",), ("--ca", files["ca"])):
        result = run(*get, *option)
        assert "a Unix socket is not encrypted" in usage(result)


def test_a_variable_that_was_meant_to_be_the_keys_is_named(server: FakeServer) -> None:
    said = "ORDERINTAKE_APIKEY sets nothing; did you mean ORDERINTAKE_API_KEY?\n"
    get = ("--server", server.target, "get", "order-1")
    assert run(*get, ORDERINTAKE_APIKEY=SECRET).stderr == said
    assert run(*get, ORDERINTAKE_APIKEY="x", ORDERINTAKE_API_KEY=SECRET).stderr == ""
