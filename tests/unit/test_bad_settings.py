"""A bad setting is refused by its name and value, wherever it stands; main makes it exit code 2."""

from pathlib import Path

import pytest

from orderintake_server.config import Settings, read
from orderintake_server.errors import StartupFailed

BAD = {
    "listen": "nowhere",
    "workers": "-1",
    "queue_limit": "many",
    "drain_timeout": "inf",
    "log_format": "xml",
    "log_level": "loud",
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of ours, until the test sets one."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ORDERINTAKE_{name.upper()}", raising=False)
    return monkeypatch


def refusal(*arguments: str) -> str:
    """Tell why these arguments are refused."""
    with pytest.raises(StartupFailed) as failed:
        read(list(arguments))
    return str(failed.value)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_flag_is_named(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    said = refusal(f"{flag}={BAD[name]}").replace(flag, name)
    assert name in said
    assert BAD[name] in said


@pytest.mark.parametrize("name", BAD)
def test_a_bad_variable_is_named(variables: pytest.MonkeyPatch, name: str) -> None:
    variables.setenv(f"ORDERINTAKE_{name.upper()}", BAD[name])
    said = refusal()
    assert name in said
    assert BAD[name] in said


@pytest.mark.parametrize("name", BAD)
def test_a_bad_key_of_the_file_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'{name} = "{BAD[name]}"\n')
    said = refusal("--config", str(file))
    assert name in said
    assert BAD[name] in said


@pytest.mark.parametrize(
    ("content", "named"),
    [("waiters = 3", "waiters"), ("workers == 3", "settings.toml")],
)
def test_a_bad_settings_file_is_refused(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    assert named in refusal("--config", str(file))


def test_a_settings_file_that_is_not_there_is_refused(
    variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables.setenv("ORDERINTAKE_CONFIG", str(tmp_path / "none.toml"))
    assert f"there is no file {tmp_path}/none.toml" in refusal()
