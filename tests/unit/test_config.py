"""Settings: a flag wins over a variable, that over the file, that over the default."""

from pathlib import Path
from typing import Any

import pytest

from orderintake_server.config import Settings, log_form, read, unknown_variables
from orderintake_server.errors import StartupFailed


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of ours, until the test sets one."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ORDERINTAKE_{name.upper()}", raising=False)
    return monkeypatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of settings, to be written by the test."""
    return tmp_path / "orderintake.toml"


EACH: dict[str, tuple[str, Any]] = {
    "listen": ("0.0.0.0:0", ("0.0.0.0:0",)),
    "http": ("[::1]:9464", "[::1]:9464"),
    "http_hosts": ("orders.example, [::1]", ("orders.example", "[::1]")),
    "http_origins": ("https://shop.example", ("https://shop.example",)),
    "http_connections": ("20", 20),
    "data": ("/var/lib/orders", Path("/var/lib/orders")),
    "store": ("postgresql://127.0.0.1/shop", "postgresql://127.0.0.1/shop"),
    "replica": ("north-1", "north-1"),
    "lease": ("2.5", 2.5),
    "notify": ("false", False),
    "pooler": ("true", True),
    "workers": ("0", 0),
    "handler": ("shop:place", "shop:place"),
    "lifespan": ("shop:open", "shop:open"),
    "exception_text": ("true", True),
    "worker_lease": ("60", 60.0),
    "worker_limit": ("10", 10),
    "worker_processes": ("2", 2),
    "worker_scheduling": ("idle", "idle"),
    "stuck_attempts": ("5", 5),
    "queue_limit": ("1", 1),
    "access": ("callers.toml", Path("callers.toml")),
    "jwt_keys": ("keys.json", Path("keys.json")),
    "jwt_issuer": ("shop", "shop"),
    "jwt_audience": ("orders", "orders"),
    "jwt_roles_claim": ("realm.roles", "realm.roles"),
    "jwt_customer_claim": ("org", "org"),
    "jwt_leeway": ("5", 5.0),
    "jwt_longest": ("3600", 3600.0),
    "vip_reserve": ("0.25", 0.25),
    "customer_queue_limit": ("7", 7),
    "customer_rate": ("2.5", 2.5),
    "customer_burst": ("9", 9),
    "vip_head_start": ("30.5", 30.5),
    "max_attempts": ("2", 2),
    "retry_delay": ("0.5", 0.5),
    "retry_factor": ("1.5", 1.5),
    "retry_delay_limit": ("60", 60.0),
    "attempt_timeout": ("10", 10.0),
    "max_crashes": ("4", 4),
    "retention": ("0", 0.0),
    "request_id_retention": ("86400", 86400.0),
    "subscriber_timeout": ("0.5", 0.5),
    "max_connection_age": ("3600", 3600.0),
    "insecure": ("true", True),
    "max_connections": ("500", 500),
    "max_streams": ("32", 32),
    "idle_timeout": ("90.5", 90.5),
    "subscriber_limit": ("20", 20),
    "drain_timeout": ("2.5", 2.5),
    "log_format": ("json", "json"),
    "log_level": ("error", "error"),
    "access_log": ("off", "off"),
}


TOGETHER = ("tls_cert", "tls_key", "tls_client_ca")
"""Settings of which none can be given alone."""


def test_a_certificate_its_key_and_an_authority_are_given_together() -> None:
    files = [f"--{name.replace('_', '-')}=/tls/{name}" for name in TOGETHER]
    settings = read(files)
    assert [getattr(settings, name) for name in TOGETHER] == [Path("/tls", n) for n in TOGETHER]
    assert "tls_cert and tls_key belong together" in refusal(files[0])
    assert "tls_cert and tls_key belong together" in refusal(files[1], files[2])
    assert "tls_client_ca needs tls_cert" in refusal(files[2])


def test_several_addresses_can_be_listened_on(variables: pytest.MonkeyPatch) -> None:
    both = ("127.0.0.1:1", "unix:/run/orders.sock")
    assert read([f"--listen={both[0]}", "--listen", both[1]]).listen == both
    variables.setenv("ORDERINTAKE_LISTEN", ", ".join(both))
    assert read([]).listen == both
    assert refusal("--listen=127.0.0.1:1,nowhere").startswith("listen: ")


def test_a_switch_is_put_on_by_its_flag_alone() -> None:
    assert read(["--insecure", "--workers=1"]).insecure


DEFAULTS: dict[str, Any] = {
    "access": None,
    "access_log": "debug",
    "jwt_keys": None,
    "jwt_issuer": "",
    "jwt_audience": "orderintake",
    "jwt_roles_claim": "roles",
    "jwt_customer_claim": "customer",
    "jwt_leeway": 30.0,
    "jwt_longest": 86_400.0,
    "listen": ("127.0.0.1:50051",),
    "http": "",
    "http_hosts": (),
    "http_origins": (),
    "http_connections": 1_000,
    "data": Path("data"),
    "store": "",
    "replica": "",
    "lease": 15.0,
    "notify": True,
    "pooler": False,
    "worker_processes": 0,
    "worker_scheduling": "normal",
    "workers": 8,
    "handler": "orderintake_server.handlers:simulate",
    "lifespan": "",
    "exception_text": False,
    "worker_lease": 30.0,
    "worker_limit": 1_000,
    "stuck_attempts": 32,
    "queue_limit": 1_000_000,
    "vip_reserve": 0.1,
    "customer_queue_limit": 0,
    "customer_rate": 0.0,
    "customer_burst": 100,
    "vip_head_start": 0.0,
    "max_attempts": 5,
    "retry_delay": 1.0,
    "retry_factor": 2.0,
    "retry_delay_limit": 300.0,
    "attempt_timeout": 0.0,
    "max_crashes": 3,
    "retention": 0.0,
    "request_id_retention": 0.0,
    "subscriber_timeout": 60.0,
    "max_connection_age": 0.0,
    "max_connections": 0,
    "max_streams": 64,
    "idle_timeout": 600.0,
    "subscriber_limit": 1_000,
    "tls_cert": None,
    "tls_key": None,
    "tls_client_ca": None,
    "insecure": False,
    "drain_timeout": 20.0,
    "log_format": "text",
    "log_level": "info",
    "config": None,
}


def test_without_anything_there_are_defaults() -> None:
    assert read([]).model_dump() == DEFAULTS
    assert {*EACH, *TOGETHER, "config"} == set(Settings.model_fields)


@pytest.mark.parametrize("name", EACH)
def test_each_setting_can_be_given_as_a_flag(name: str) -> None:
    text, value = EACH[name]
    assert getattr(read([f"--{name.replace('_', '-')}", text]), name) == value
    assert getattr(read([f"--{name.replace('_', '-')}={text}"]), name) == value


@pytest.mark.parametrize("name", EACH)
def test_each_setting_can_be_given_as_a_variable(variables: pytest.MonkeyPatch, name: str) -> None:
    text, value = EACH[name]
    variables.setenv(f"ORDERINTAKE_{name.upper()}", text)
    assert getattr(read([]), name) == value


@pytest.mark.parametrize("name", EACH)
def test_each_setting_can_be_given_in_a_file(file: Path, name: str) -> None:
    text, value = EACH[name]
    is_number = text.replace(".", "").isdigit()
    file.write_text(f"{name} = {text if is_number else repr(text)}")
    assert getattr(read(["--config", str(file)]), name) == value


def test_a_flag_wins_over_a_variable_and_that_over_the_file(
    variables: pytest.MonkeyPatch, file: Path
) -> None:
    file.write_text("workers = 1\nqueue_limit = 1\ndrain_timeout = 1")
    variables.setenv("ORDERINTAKE_WORKERS", "2")
    variables.setenv("ORDERINTAKE_QUEUE_LIMIT", "2")
    settings = read(["--workers", "3", "--config", str(file)])
    assert (settings.workers, settings.queue_limit, settings.drain_timeout) == (3, 2, 1.0)


def test_what_code_asks_for_wins_over_a_variable(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("ORDERINTAKE_WORKERS", "2")
    assert Settings(workers=3).workers == 3


def test_the_file_can_be_named_by_a_variable(variables: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("workers = 1")
    variables.setenv("ORDERINTAKE_CONFIG", str(file))
    assert read([]).workers == 1
    assert read([]).config == file


def test_the_file_named_by_a_flag_wins(
    variables: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    variables.setenv("ORDERINTAKE_CONFIG", str(tmp_path / "missing.toml"))
    file.write_text("workers = 1")
    assert read([f"--config={file}"]).workers == 1


def refusal(*arguments: str) -> str:
    """Tell why these arguments are refused."""
    with pytest.raises(StartupFailed) as failed:
        read(list(arguments))
    return str(failed.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert refusal("--config", str(missing)) == f"config: there is no file {missing}"
    assert refusal("--config", str(tmp_path)) == f"config: there is no file {tmp_path}"


@pytest.mark.parametrize("content", [b"workers: 1", b"workers = \n", b"\xff\xfe", b"[workers"])
def test_a_file_that_is_not_toml_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert f"config: {file}: " in refusal("--config", str(file))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    impossible = tmp_path / ("x" * 300)
    assert refusal("--config", str(impossible)).startswith(f"config: {impossible}: ")


def test_an_unknown_key_of_the_file_is_named(file: Path) -> None:
    file.write_text("worker = 1\nqueue-limit = 2")
    text = refusal("--config", str(file))
    assert "worker: " in text
    assert "queue-limit: " in text


def test_the_file_cannot_name_another_file(file: Path) -> None:
    file.write_text("config = 'other.toml'")
    assert refusal("--config", str(file)) == (
        f"config: {file}: a file cannot name another one by the key config"
    )


def test_every_bad_setting_is_named_at_once(variables: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("log_level = 'loud'\ndrain_timeout = -1")
    variables.setenv("ORDERINTAKE_QUEUE_LIMIT", "many")
    text = refusal("--workers", "-1", "--listen", "here", "--config", str(file))
    for name in ("workers", "listen", "queue_limit", "log_level", "drain_timeout"):
        assert f"{name}: " in text
    for value in ("'-1'", "'here'", "'many'", "'loud'", "-1"):
        assert f"(it is {value})" in text


SCHEMES = ["unix:1", "UNIX:1", "unix-abstract:1", "vsock:1", "dns:443", "ipv4:1", "ipv6:1"]
"""What gRPC would take for an address of another kind."""

LIMITS: dict[str, tuple[list[str], list[str]]] = {
    "workers": (["0", "10000"], ["-1", "10001", "1.5", "eight", ""]),
    "queue-limit": (["1", "1000000000"], ["0", "-1", "1.5", ""]),
    "vip-reserve": (["0.0", "0.5", "0.99"], ["-0.1", "1", "nan", "inf", "half"]),
    "customer-queue-limit": (["0", "1"], ["-1", "1.5", ""]),
    "customer-rate": (["0.0", "0.001", "100000.0"], ["-1", "inf", "nan", "fast"]),
    "customer-burst": (["1", "100000"], ["0", "-1", "1.5"]),
    "vip-head-start": (["0.0", "0.5", "31536000"], ["-1", "31536001", "inf", "nan"]),
    "max-attempts": (["1", "1000"], ["0", "1001", "1.5"]),
    "retry-delay": (["0.0", "0.001", "3155760000.0"], ["-1", "3155760001", "inf", "nan", "soon"]),
    "retry-factor": (["1.0", "100.0"], ["0.9", "101", "inf", "nan"]),
    "retry-delay-limit": (["0.0", "3155760000.0"], ["-1", "1e300", "inf", "nan"]),
    "attempt-timeout": (["0.0", "0.5", "3155760000.0"], ["-1", "1e300", "inf", "nan"]),
    "max-crashes": (["1", "1000"], ["0", "1001", "1.5"]),
    "retention": (["0.0", "3155760000.0"], ["-1", "1e300", "inf", "nan", "long"]),
    "request-id-retention": (["0.0", "0.5", "3155760000.0"], ["-1", "1e300", "inf", "nan"]),
    "drain-timeout": (["0", "0.5", "3600"], ["-0.1", "3600.1", "inf", "nan", "soon"]),
    "log-format": (["text", "json"], ["xml", "", "JSON"]),
    "log-level": (["debug", "info", "warning", "error"], ["critical", "", "INFO"]),
    "http": (["", "localhost:0", "*:9464"], ["9464", ":9464", "http://localhost:1", "unix:1"]),
    "http-hosts": (["orders.example", "192.0.2.1", "[::1]"], ["a:80", "http://a", "a/b", "::1"]),
    "http-origins": (
        ["https://shop.example", "http://localhost:3000"],
        ["*", "null", "shop.example", "https://shop.example/", "https://Shop.example"],
    ),
    "http-connections": (["8", "65536"], ["7", "65537", "many"]),
    "listen": (
        [
            "localhost:0",
            "127.0.0.1:65535",
            "[::1]:50051",
            "[::]:1",
            "orders.example:443",
            "*:1",
            "unix:/run/orders.sock",
        ],
        [
            "",
            "localhost",
            ":50051",
            "localhost:",
            "localhost:65536",
            "localhost:-1",
            "::1:50051",
            "unix:1",
            "unix:orders.sock",
            "unix:/" + 107 * "x",
            "UNIX:1",
            "unix-abstract:1",
            "vsock:1",
            "dns:443",
            "ipv4:1",
            "ipv6:1",
        ],
    ),
}
GOOD = [(name, text) for name, (good, _) in LIMITS.items() for text in good]
BAD = [(name, text) for name, (_, bad) in LIMITS.items() for text in bad]


@pytest.mark.parametrize(("name", "text"), GOOD)
def test_a_value_within_the_limits_is_taken(name: str, text: str) -> None:
    value = getattr(read([f"--{name}", text]), name.replace("-", "_"))
    assert str(value[0] if isinstance(value, tuple) else value).startswith(text)


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_value_beyond_the_limits_is_refused_by_name(name: str, text: str) -> None:
    assert refusal(f"--{name}={text}").startswith(f"{name.replace('-', '_')}: ")


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["stray"], ["--workers"], ["--config"]])
def test_bad_usage_ends_the_program(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(arguments)
    assert ended.value.code == 2
    assert "usage: orderintake-server" in capsys.readouterr().err


def test_help_tells_every_flag_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in text
        assert f"ORDERINTAKE_{name.upper()}" in text


@pytest.mark.parametrize(
    ("retention", "requests"),
    [("0", "0"), ("60", "0"), ("60", "60"), ("60", "61"), ("0", "60")],
)
def test_request_ids_are_kept_no_shorter_than_orders(retention: str, requests: str) -> None:
    settings = read(["--retention", retention, "--request-id-retention", requests])
    assert settings.retention == float(retention)
    assert settings.request_id_retention == float(requests)


def test_request_ids_kept_shorter_than_orders_are_refused() -> None:
    text = refusal("--retention=60", "--request-id-retention=59.9")
    assert "request_id_retention must be 0 or no shorter than retention" in text


def test_an_address_of_a_database_is_told_to_nobody() -> None:
    address = "postgresql://shop:secret@127.0.0.1/shop"
    assert read(["--store", address]).store == address
    assert "secret" not in repr(read(["--store", address]))
    text = refusal("--store=mysql://shop:secret@127.0.0.1/shop")
    assert "store: Value error, must begin with postgresql://" in text
    assert "secret" not in text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(read([]), "workers", 1)  # noqa: B010 - what types forbid too


SECRETS = [
    "postgresql://shop:secret@db/shop",
    "postgres:/shop:secret@db",
    "https://shop:with a secret@db",
    "shop:secret@db:5432/shop",
    "host=db password=secret",
]


@pytest.mark.parametrize("value", SECRETS)
def test_what_may_hold_a_password_is_told_to_nobody_whatever_it_is_given_for(
    file: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    file.write_text(f"storage = '{value}'\nlog_format = '{value}'")
    said = refusal(f"--listen={value}", "--config", str(file))
    assert "storage: " in said
    assert "listen: " in said
    assert "secret" not in said
    for arguments in ([f"--storage={value}"], ["--storage", value], [value]):
        with pytest.raises(SystemExit):
            read(arguments)
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("value", SECRETS[:2])
def test_a_database_given_as_the_directory_is_refused_naming_store(value: str) -> None:
    said = refusal("--data", value)
    assert said == "data: Value error, must be a directory; a database is given by --store"


def test_an_empty_variable_is_as_none(variables: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        variables.setenv(f"ORDERINTAKE_{name.upper()}", "")
    assert read([]).model_dump() == Settings().model_dump()


def test_a_home_directory_is_put_in_for_a_tilde(
    variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables.setenv("HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text("workers = 3")
    settings = read(["--data=~/orders", "--config=~/settings.toml"])
    assert (settings.data, settings.workers) == (tmp_path / "orders", 3)
    variables.setenv("ORDERINTAKE_DATA", "~")
    assert read([]).data == tmp_path
    assert "data: Value error, has a ~" in refusal("--data=~nobody-of-this-name/orders")


@pytest.mark.parametrize("character", ["\n", "\x00", "\x1b", "\u202e"])
def test_a_path_with_a_control_character_is_refused(character: str) -> None:
    for name in ("data", "config"):
        said = refusal(f"--{name}=or{character}ders")
        assert f"{name}: " in said
        assert "without control characters" in said
        assert character not in said
    assert "must be a path; it is empty" in refusal("--data=")


def test_variables_that_set_nothing_are_named_with_the_nearest_that_does() -> None:
    environment = {
        "ORDERINTAKE_WORKER": "postgresql://shop:secret@db",
        "ORDERINTAKE_QUEUELIMIT": "5",
        "ORDERINTAKE_XYZZY": "5",
        "ORDERINTAKE_WORKERS": "5",
        "orderintake_data": "here",
        "ORDERINTAKE_SERVER": "the client's",
        "WORKERS": "5",
    }
    assert unknown_variables(environment) == {
        "ORDERINTAKE_QUEUELIMIT": "ORDERINTAKE_QUEUE_LIMIT",
        "ORDERINTAKE_WORKER": "ORDERINTAKE_WORKERS",
        "ORDERINTAKE_XYZZY": None,
    }


def test_the_form_of_the_log_is_known_before_the_settings_are(
    variables: pytest.MonkeyPatch,
) -> None:
    assert log_form([]) == "text"
    assert log_form(["--log-format", "json", "--no-such-flag"]) == "json"
    variables.setenv("ORDERINTAKE_LOG_FORMAT", "json")
    assert log_form([]) == "json"
    assert log_form(["--log-format=text"]) == "text"
