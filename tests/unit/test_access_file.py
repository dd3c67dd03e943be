"""The file access.toml is read strictly; what is wrong is told by entry and field, no values."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.access import AccessTable, Role
from orderintake_server.access.checks import CheckFailed
from orderintake_server.access.entries import MOST_BYTES, parse, read
from orderintake_server.config.watched import BadFile
from support.callers import entry, key_of, write_access

HASH = "ab" * 32
SECRET = "oik_never-to-be-shown"  # noqa: S105 - it opens nothing


def test_the_entries_of_a_file_are_its_callers() -> None:
    shop, kitchen = parse(
        f'[shop]\nsha256 = "{HASH.upper()}"\nroles = ["customer", "vip"]\ncustomer = "*"\n'
        '[kitchen]\ncertificate = "spiffe://shop.example/kitchen"\nroles = ["worker"]\n'
    )
    assert (shop.name, shop.credential, shop.customer) == ("shop", bytes.fromhex(HASH), "*")
    assert shop.roles == {Role.CUSTOMER, Role.VIP}
    assert kitchen.credential == "spiffe://shop.example/kitchen"
    assert kitchen.customer is None


def test_an_empty_file_names_nobody() -> None:
    assert parse("") == ()


GOOD = f'sha256 = "{HASH}"\nroles = ["observer"]\n'
BAD = {
    f"[shop]\n{GOOD}color = 1": "shop: color: is none of sha256",
    f'[shop]\n{GOOD}{SECRET} = "x"': "shop: a field: is none of sha256",
    f'[shop]\nsha256 = "{SECRET}"\nroles = ["observer"]': "shop: sha256: must be 64",
    '[shop]\nsha256 = 7\nroles = ["observer"]': "shop: sha256: must be 64",
    f'[shop]\nsha256 = "{HASH}"': "shop: roles: must be a list",
    f'[shop]\nsha256 = "{HASH}"\nroles = []': "shop: roles: must be a list",
    f'[shop]\nsha256 = "{HASH}"\nroles = "observer"': "shop: roles: must be a list",
    f'[shop]\nsha256 = "{HASH}"\nroles = ["{SECRET}"]': "shop: roles: must be of customer",
    f'[shop]\nsha256 = "{HASH}"\nroles = [["vip"]]': "shop: roles: must be of customer",
    f'[shop]\nsha256 = "{HASH}"\nroles = ["customer"]': "shop: customer: must be there",
    f'[shop]\n{GOOD}customer = "ada"': "shop: customer: must be there",
    f'[shop]\nsha256 = "{HASH}"\nroles = ["customer"]\ncustomer = ""': "shop: customer: must be a",
    f'[shop]\nsha256 = "{HASH}"\nroles = ["customer"]\ncustomer = 7': "shop: customer: must be a",
    '[shop]\nroles = ["observer"]': "shop: must have either",
    f'[shop]\n{GOOD}certificate = "spiffe://a/b"': "shop: must have either",
    '[shop]\ncertificate = "shop"\nroles = ["worker"]': "shop: certificate: must be a URI",
    f"[{SECRET}]\n{GOOD}": "entry 1: its name must be",
    f'[a]\n{GOOD}[""]\n{GOOD}': "entry 2: its name must be",
    f'shop = "{SECRET}"': "shop: must be a table",
    f"[[shop]]\n{GOOD}": "shop: must be a table",
    f"[a]\n{GOOD}[b]\n{GOOD.upper().lower()}": "b: sha256: is the same as that of a",
    f"[a]\n{GOOD}[a]\n{GOOD}": "is not TOML (at line 4, column 3)",
    f"sha256 = {SECRET}": "is not TOML (at line 1",
    f"{SECRET}": "is not TOML (at",
    "[shop]\nx = " + "[" * 5_000: "is not TOML",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_told_without_any_value(text: str) -> None:
    with pytest.raises(BadFile) as bad:
        parse(text)
    assert BAD[text] in str(bad.value)
    assert "oik_" not in str(bad.value)
    assert HASH not in str(bad.value)


@given(st.text() | st.text(alphabet='[]ab="\n\\#{}, '))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadFile):
        parse(text)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_access(tmp_path / "access.toml", [entry("shop", "observer")])
    assert len(read(path)) == 1
    path.chmod(mode)
    with pytest.raises(BadFile, match="others than its owner may write it"):
        read(path)


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    with pytest.raises(BadFile, match="is not UTF-8"):
        read(path)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(BadFile, match="is larger than 16 MiB"):
        read(path)


def found(table: AccessTable, name: str) -> str:
    return table.by_key(key_of(name)).name


def test_an_entry_that_stays_keeps_its_caller_and_others_are_revoked() -> None:
    same, changed, gone = (entry(name, "observer") for name in ("same", "changed", "gone"))
    table = AccessTable(parse(same + changed + gone))
    callers = {name: table.by_key(key_of(name)) for name in ("same", "changed", "gone")}
    table.take(parse(entry("new", "worker") + entry("changed", "operator") + same))
    assert {name: each.is_revoked for name, each in callers.items()} == {
        "same": False,
        "changed": True,
        "gone": True,
    }
    assert table.by_key(key_of("same")) is callers["same"]
    assert table.by_key(key_of("changed")).roles == {Role.OPERATOR}
    assert found(table, "new") == "new"
    with pytest.raises(CheckFailed):
        found(table, "gone")


def test_an_entry_that_comes_back_is_a_caller_of_its_own() -> None:
    table = AccessTable(parse(entry("shop", "observer")))
    before = table.by_key(key_of("shop"))
    table.take(())
    table.take(parse(entry("shop", "observer")))
    assert before.is_revoked
    assert not table.by_key(key_of("shop")).is_revoked
