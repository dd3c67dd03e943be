"""The command keys: makes keys, keeps their hashes, and changes the file whole or not at all."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orderintake_server.access import AccessTable, editing
from orderintake_server.access.entries import parse, read
from orderintake_server.commands import COMMANDS
from support.callers import entry, write_access


@pytest.fixture
def keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in a directory of its own; give its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORDERINTAKE_ACCESS", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = COMMANDS["keys"](list(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


Keys = Callable[..., tuple[int, str, str]]


def names() -> list[str]:
    """Tell which files there are."""
    return [each.name for each in Path().iterdir()]


SHOP = ("add", "shop", "--role", "customer", "--role", "vip", "--customer", "*")


def test_a_key_is_printed_once_and_the_file_holds_its_hash(keys: Keys) -> None:
    code, printed, said = keys(*SHOP)
    key = printed.strip()
    assert code == 0
    assert (key[:4], len(key)) == ("oik_", 47)
    assert "--access access.toml" in said
    assert key not in said
    text = Path("access.toml").read_text()
    assert key not in text
    assert stat.S_IMODE(Path("access.toml").stat().st_mode) == 0o600
    caller = AccessTable(read(Path("access.toml"))).by_key(key)
    assert (caller.name, caller.customer) == ("shop", "*")
    assert keys("list") == (0, "shop\tkey\tcustomer vip\t*\n", "")


def test_a_certificate_needs_no_key(keys: Keys) -> None:
    uri = "spiffe://shop.example/kitchen"
    code, printed, said = keys("add", "kitchen", "--role", "worker", "--certificate", uri)
    assert (code, printed) == (0, "")
    assert uri in said
    assert keys("list")[1] == "kitchen\tcertificate\tworker\t-\n"


def test_a_removed_caller_is_gone_and_what_else_stands_there_stays(keys: Keys) -> None:
    keys(*SHOP)
    with Path("access.toml").open("a") as file:
        file.write(f"\n# the audit's\n{entry('audit', 'observer')}# until 2030\n")
    keys("add", "last", "--role", "operator")
    assert keys("remove", "shop")[0] == 0
    text = Path("access.toml").read_text()
    assert [each.name for each in read(Path("access.toml"))] == ["audit", "last"]
    assert text.startswith("# Who may call")
    assert "# until 2030" in text
    assert keys("remove", "audit")[0] == keys("remove", "last")[0] == 0
    assert read(Path("access.toml")) == ()
    assert keys(*SHOP)[0] == 0


REFUSED = {
    ("remove", "nobody"): "there is no entry nobody",
    SHOP: "shop is there already",
    ("add", "a", "--role", "customer"): "customer: must be there with the role customer",
    ("add", "a", "--role", "worker", "--customer", "b"): "customer: must be there with the role",
    ("add", "a", "--role", "cook"): "invalid choice: 'cook'",
    ("add", "a"): "--role",
    ("add", "oik_a", "--role", "worker"): "must be 1 to 64 letters",
    ("add", "a b", "--role", "worker"): "must be 1 to 64 letters",
    ("add", "a", "--role", "worker", "--certificate", "kitchen"): "must be a URI",
    ("add", "a", "--role", "customer", "--customer", ""): "must be 1 to 128 printable",
    ("list", "--access", "nowhere"): "nowhere: No such file or directory",
    ("remove", "a", "--access", "nowhere"): "nowhere: No such file or directory",
    ("add", "a", "--role", "worker", "--access", "no/where"): "No such file or directory",
    (): "add | list | remove",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_told_and_changes_nothing(
    keys: Keys, arguments: tuple[str, ...]
) -> None:
    keys(*SHOP)
    before = Path("access.toml").read_bytes()
    code, printed, said = keys(*arguments)
    assert (code, printed) == (2, "")
    assert REFUSED[arguments] in said
    assert Path("access.toml").read_bytes() == before
    assert names() == ["access.toml"]


@pytest.mark.parametrize(
    "text",
    [
        'shop = { sha256 = "%s", roles = ["observer"] }\n',
        'shop.sha256 = "%s"\nshop.roles = ["observer"]\n',
    ],
)
def test_an_entry_in_another_form_is_left_to_its_writer(keys: Keys, text: str) -> None:
    Path("access.toml").write_text(text % ("ab" * 32))
    Path("access.toml").chmod(0o600)
    before = Path("access.toml").read_bytes()
    code, _, _ = keys("remove", "shop")
    assert code == 2
    assert Path("access.toml").read_bytes() == before


def test_a_file_that_others_may_write_is_refused(keys: Keys) -> None:
    keys(*SHOP)
    Path("access.toml").chmod(0o666)
    code, _, said = keys("add", "a", "--role", "worker")
    assert code == 2
    assert "chmod go-w" in said


def test_who_may_read_the_file_stays_and_so_does_a_link_to_it(keys: Keys) -> None:
    write_access(Path("real.toml"), [entry("audit", "observer")])
    Path("real.toml").chmod(0o640)
    Path("access.toml").symlink_to("real.toml")
    assert keys(*SHOP)[0] == 0
    assert Path("access.toml").is_symlink()
    assert stat.S_IMODE(Path("real.toml").stat().st_mode) == 0o640
    assert len(read(Path("real.toml"))) == 2


def test_the_file_can_be_named_by_a_variable(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERINTAKE_ACCESS", "callers.toml")
    assert keys(*SHOP)[0] == 0
    assert names() == ["callers.toml"]


def test_file_and_name_are_flushed(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    keys(*SHOP)
    made, directory = flushed
    assert directory == str(Path.cwd())
    assert made.startswith(f"{directory}/.access.toml.")


def test_a_disk_that_is_full_leaves_the_file_as_it_was(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(*SHOP)
    before = Path("access.toml").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, printed, said = keys("add", "a", "--role", "worker")
    assert (code, printed) == (2, "")
    assert "No space left on device" in said
    assert Path("access.toml").read_bytes() == before
    assert names() == ["access.toml"]


def test_two_operators_at_once_lose_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"

    def add(name: str) -> None:
        (each,) = parse(entry(name, "observer"))
        editing.add(path, each)

    made = [f"a{number}" for number in range(9)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(add, made))
    assert sorted(each.name for each in read(path)) == made
