"""The keystore file: what it holds, what it refuses, and that nothing unfit overwrites it."""

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from slipstream import cli
from slipstream.commands.keys import keys_app
from slipstream.config import secret_input
from slipstream.config.keystore import Keystore, list_entries
from slipstream.errors import ConfigError, SlipstreamError

PASSPHRASE = b"correct horse"
SECRET = bytes.fromhex("4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1")
ADDRESS = Account.from_key(SECRET).address
PURPOSE = "aster-mainnet"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a keystore with two entries (the derivation is slow by design)."""
    path = tmp_path_factory.mktemp("template") / "slipstream.keys"
    keystore = Keystore.create(path, bytearray(PASSPHRASE))
    keystore.add_imported("alice", "aster", bytearray(SECRET))
    keystore.add_new("bob", "aster")
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, template: bytes) -> Path:
    found = tmp_path / "slipstream.keys"
    found.write_bytes(template)
    found.chmod(0o600)
    return found


def reopen(path: Path) -> Keystore:
    return Keystore.open(path, bytearray(PASSPHRASE))


def test_entries_are_listed_without_the_passphrase(path: Path) -> None:
    alice, bob = list_entries(path)

    assert (alice.id, alice.venue, alice.kind, alice.address) == (
        "alice",
        "aster",
        "secp256k1",
        ADDRESS,
    )
    assert bob.id == "bob"
    assert bob.address != ADDRESS
    assert alice.rotated is None


def test_keys_open_and_sign_after_a_restart(path: Path) -> None:
    keystore = reopen(path)

    signer = keystore.signer("alice", PURPOSE, None)

    assert signer.address == ADDRESS
    assert keystore.signer("bob", PURPOSE, ADDRESS).address == keystore.entries()[1].address


def test_an_added_key_is_stored_at_once(path: Path) -> None:
    keystore = reopen(path)

    added = keystore.add_new("carol", "aster")

    assert list_entries(path) == keystore.entries()
    assert keystore.entries()[2] == added
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_no_spelling_of_the_key_is_in_the_file(template: bytes) -> None:
    for spelling in (SECRET, SECRET.hex().encode(), PASSPHRASE):
        assert spelling not in template


def test_the_file_has_the_documented_fields(template: bytes) -> None:
    raw = json.loads(template)

    assert list(raw) == ["version", "kdf", "wrapped_master", "wrap_nonce", "entries"]
    assert raw["version"] == 1
    assert {name: raw["kdf"][name] for name in ("name", "memory_kib", "passes", "lanes")} == {
        "name": "argon2id",
        "memory_kib": 65536,
        "passes": 3,
        "lanes": 4,
    }
    assert all(
        list(entry)
        == ["id", "venue", "kind", "address", "nonce", "ciphertext", "created", "rotated"]
        for entry in raw["entries"]
    )


def test_secrets_are_zeroed_in_place_also_when_refused(path: Path, tmp_path: Path) -> None:
    passphrase, again, secret = bytearray(PASSPHRASE), bytearray(PASSPHRASE), bytearray(SECRET)
    missing = bytearray(PASSPHRASE)
    keystore = Keystore.open(path, passphrase)
    with pytest.raises(ConfigError, match="taken"):
        keystore.add_imported("alice", "aster", secret)
    with pytest.raises(ConfigError, match="found one"):
        Keystore.create(path, again)
    with pytest.raises(ConfigError, match="No such file"):
        Keystore.open(tmp_path / "absent", missing)

    for zeroed in (passphrase, again, secret, missing):
        assert not any(zeroed)


def test_a_wrong_passphrase_is_refused_and_names_the_file(path: Path, template: bytes) -> None:
    with pytest.raises(ConfigError, match=rf"{path}: wrong passphrase"):
        Keystore.open(path, bytearray(b"wrong horse"))

    assert path.read_bytes() == template


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o666, 0o601])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)

    with pytest.raises(ConfigError, match=f"expected mode 0600, found {mode:04o}"):
        list_entries(path)
    with pytest.raises(ConfigError, match="mode"):
        reopen(path)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    raw = json.loads(path.read_bytes())
    change(raw)
    path.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda raw: raw.update(version=2), "version: expected 1, found 2"),
        (lambda raw: raw.update(version=True), "version: expected 1, found True"),
        (lambda raw: raw.update(version="1"), "version: expected 1"),
        (lambda raw: raw.pop("version"), "version: expected 1, found None"),
        (lambda raw: raw.pop("entries"), "entries"),
        (lambda raw: raw.update(extra=1), "extra"),
        (lambda raw: raw["kdf"].update(name="scrypt"), "kdf.name: expected 'argon2id'"),
        (lambda raw: raw["kdf"].update(passes="3"), r"kdf\.passes"),
        (lambda raw: raw["kdf"].update(lanes=-1), "kdf"),
        (lambda raw: raw["kdf"].update(memory_kib=2**64), "kdf"),
        (lambda raw: raw["entries"][1].update(id="alice"), "entry 'alice': expected each id once"),
        (lambda raw: raw["entries"][1].update(id="../x"), r"entries\[1\]\.id"),
        (lambda raw: raw["entries"][1].update(nonce="%"), r"entries\[1\]\.nonce"),
        (lambda raw: raw["entries"][1].pop("address"), r"entries\[1\]"),
        (lambda raw: raw["entries"][1].update(secret="x"), r"entries\[1\]"),
        (lambda raw: raw["entries"][1].update(created="today"), "entry 'bob': expected a time"),
    ],
)
def test_an_unfit_file_is_refused_by_name_and_left_alone(
    path: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    edit(path, change)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=problem) as caught:
        list_entries(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert path.read_bytes() == before


def test_a_file_cut_short_anywhere_is_refused(path: Path, template: bytes) -> None:
    whole = len(template.rstrip())
    for length in range(0, whole, 7):
        path.write_bytes(template[:length])
        with pytest.raises(ConfigError, match="whole JSON document"):
            list_entries(path)


@pytest.mark.parametrize("written", [b"[]", b"1", b"null", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_other_documents_are_refused(path: Path, written: bytes) -> None:
    path.write_bytes(written)

    with pytest.raises(ConfigError, match="expected"):
        list_entries(path)


def test_a_name_given_twice_in_the_document_is_refused(path: Path, template: bytes) -> None:
    path.write_bytes(template.replace(b'"version": 1', b'"version": 1, "version": 1'))

    with pytest.raises(ConfigError, match="appears twice"):
        list_entries(path)


def swap(raw: dict, *names: str) -> None:
    first, second = raw["entries"]
    for name in names:
        first[name], second[name] = second[name], first[name]


@pytest.mark.parametrize(
    "names", [("nonce", "ciphertext"), ("id",), ("nonce", "ciphertext", "address"), ("address",)]
)
def test_swapped_entries_do_not_open(path: Path, names: tuple[str, ...]) -> None:
    edit(path, lambda raw: swap(raw, *names))
    keystore = reopen(path)

    for entry_id in ("alice", "bob"):
        with pytest.raises(ConfigError, match=rf'{path}: entry "{entry_id}".*swapped'):
            keystore.signer(entry_id, PURPOSE)


def test_one_spoiled_entry_leaves_the_others_usable(path: Path) -> None:
    edit(path, lambda raw: raw["entries"][1].update(ciphertext=raw["entries"][0]["ciphertext"]))
    keystore = reopen(path)

    assert keystore.signer("alice", PURPOSE).address == ADDRESS
    with pytest.raises(ConfigError, match="bob"):
        keystore.signer("bob", PURPOSE)


def test_unknown_entries_and_purposes_are_refused(path: Path) -> None:
    keystore = reopen(path)

    with pytest.raises(ConfigError, match="'dave'"):
        keystore.signer("dave", PURPOSE)
    with pytest.raises(ConfigError, match="purpose"):
        keystore.signer("alice", "aster-moon")


@pytest.mark.parametrize("entry_id", ["", "-x", "a b", "a/b", "x" * 65, "a\n", "\u00e9"])
def test_malformed_ids_are_refused(path: Path, entry_id: str, template: bytes) -> None:
    with pytest.raises(ConfigError, match="id"):
        reopen(path).add_new(entry_id, "aster")

    assert path.read_bytes() == template


def test_a_file_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    first, second = reopen(path), reopen(path)
    first.add_new("carol", "aster")
    after = path.read_bytes()

    with pytest.raises(ConfigError, match="changed meanwhile"):
        second.add_new("dave", "aster")

    assert path.read_bytes() == after
    assert len(second.entries()) == 2
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_is_no_keystore(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a keystore file"):
        list_entries(tmp_path)


def piped(content: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"abc\n", b"abc"),
        (b"abc", b"abc"),
        (b"a b \r\nrest", b"a b "),
        (b"\xff\x00\n", b"\xff\x00"),
    ],
)
def test_a_descriptor_gives_its_first_line(content: bytes, secret: bytes) -> None:
    assert secret_input.read_descriptor(piped(content), "--passphrase-fd") == secret


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 5000])
def test_a_descriptor_without_a_usable_line_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="--passphrase-fd"):
        secret_input.read_descriptor(piped(content), "--passphrase-fd")


def test_a_closed_descriptor_is_refused() -> None:
    descriptor = piped(b"x")
    os.close(descriptor)

    with pytest.raises(ConfigError, match="Bad file descriptor"):
        secret_input.read_descriptor(descriptor, "--secret-fd")


def test_a_prompt_shows_the_question_and_not_the_answer() -> None:
    person, terminal = os.openpty()
    answers: list[bytearray] = []
    asking = threading.Thread(
        target=lambda: answers.append(secret_input.read_hidden(terminal, "Passphrase"))
    )
    asking.start()
    shown = os.read(person, 100)
    while not answers and asking.is_alive():
        os.write(person, b"open sesame\n")
        asking.join(0.2)
    asking.join()
    shown += os.read(person, 100)

    assert answers[0].startswith(b"open sesame")
    assert shown.startswith(b"Passphrase: ")
    assert b"sesame" not in shown
    os.close(person)
    os.close(terminal)


@pytest.mark.parametrize("text", [SECRET.hex(), "0x" + SECRET.hex(), SECRET.hex().upper()])
def test_a_key_is_read_from_hex(text: str) -> None:
    given = bytearray(text.encode())

    assert secret_input.decode_key(given) == SECRET
    assert not any(given)


@pytest.mark.parametrize("text", ["", "0x", "ab", SECRET.hex()[:-1], SECRET.hex() + "0", "g" * 64])
def test_text_that_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="64 hex digits") as caught:
        secret_input.decode_key(bytearray(text.encode()))

    assert len(text) < 3 or text not in str(caught.value)


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(keys_app, [str(argument) for argument in arguments])
    if isinstance(result.exception, SlipstreamError):
        return cli.EXIT_USAGE, str(result.exception)
    return result.exit_code, result.output


def test_the_commands_make_import_and_list(path: Path) -> None:
    options = ("--venue", "aster", "--keystore", path, "--json")
    made = call("new", "carol", *options, "--passphrase-fd", piped(PASSPHRASE))
    both = piped(PASSPHRASE + b"\n" + bytes(31).hex().encode() + b"07\n")
    imported = call("import", "dave", *options, "--passphrase-fd", both, "--secret-fd", both)
    listed = call("list", "--keystore", path, "--json")

    assert (made[0], imported[0], listed[0]) == (0, 0, 0), (made, imported, listed)
    shown = {entry["id"]: entry["address"] for entry in json.loads(listed[1])["entries"]}
    assert list(shown) == ["alice", "bob", "carol", "dave"]
    assert json.loads(made[1])["address"] == shown["carol"]
    assert shown["dave"] == Account.from_key((7).to_bytes(32)).address
    assert reopen(path).signer("dave", PURPOSE).address == shown["dave"]


def test_the_first_new_key_makes_the_keystore(tmp_path: Path) -> None:
    path = tmp_path / "fresh.keys"

    status, shown = call(
        "new", "alice", "--venue", "aster", "--keystore", path, "--passphrase-fd", piped(PASSPHRASE)
    )

    (entry,) = list_entries(path)
    assert status == 0
    assert entry.address in shown
    assert "not to withdraw" in shown
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("new", "x", "--venue", "nyse"), "--venue: expected one of aster"),
        (("new", "alice", "--venue", "aster"), "taken"),
        (("new", "x"), "venue"),
        (("import", "x", "--venue", "aster", "--secret-fd", "-1"), "--secret-fd"),
    ],
)
def test_bad_usage_is_explained_and_changes_nothing(
    path: Path, template: bytes, arguments: tuple[str, ...], problem: str
) -> None:
    given = ("--keystore", path, "--passphrase-fd", piped(PASSPHRASE))

    status, shown = call(*arguments, *given)

    assert status == 2
    assert problem in shown
    assert path.read_bytes() == template


def test_listing_a_missing_file_is_bad_usage(tmp_path: Path) -> None:
    assert cli.run(["keys", "list", "--keystore", str(tmp_path / "none.keys")]) == 2
