"""``slipstream keys``: make, import and list agent keys.

Passphrases and keys come from a hidden prompt or a file descriptor, never from arguments or the
environment. No command prints a key.
"""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from slipstream.commands.output import emit
from slipstream.config import secret_input
from slipstream.config.keystore import Keystore, KeystoreEntry, list_entries
from slipstream.errors import ConfigError

_VENUES: Final = ("aster",)

keys_app = typer.Typer(
    name="keys",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="""Make, import and list agent keys in the sealed keystore.

An agent key is a wallet of its own that may trade for an account once you approve its address
on the venue. It cannot withdraw unless you allow that: never do. Slipstream keeps agent keys in
one file, encrypted under a passphrase; your main wallet's key is never asked for.

Start with `slipstream keys new alice-agent --venue aster`, then approve the address it prints.
""",
)

_Id = Annotated[
    str, typer.Argument(metavar="ID", help="Your name for the key, such as alice-agent.")
]
_Venue = Annotated[
    str, typer.Option("--venue", help=f"The venue the key trades on: {', '.join(_VENUES)}.")
]
_KeystorePath = Annotated[
    Path,
    typer.Option("--keystore", metavar="PATH", help="The keystore file; made when there is none."),
]
_PassphraseFd = Annotated[
    int | None,
    typer.Option(
        "--passphrase-fd",
        metavar="N",
        min=0,
        help="Read the passphrase (one line) from open file descriptor N instead of asking.",
    ),
]
_SecretFd = Annotated[
    int | None,
    typer.Option(
        "--secret-fd",
        metavar="N",
        min=0,
        help="Read the key (64 hex digits, one line) from open file descriptor N "
        "instead of asking. May be the same as --passphrase-fd: passphrase first.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]

_KEYSTORE: Final = Path("slipstream.keys")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(keys_app, name="keys")


@keys_app.command("new")
def new(
    entry_id: _Id,
    *,
    venue: _Venue,
    keystore: _KeystorePath = _KEYSTORE,
    passphrase_fd: _PassphraseFd = None,
    as_json: _Json = False,
) -> None:
    """Make a fresh agent key and print its address.

    The key is made and sealed inside the core; nobody ever sees it. Approve the address on the
    venue with permission to trade and without permission to withdraw.
    """
    _check_venue(venue)
    opened = _open_or_create(keystore, passphrase_fd)
    _print_added(opened.add_new(entry_id, venue), keystore, as_json=as_json)


@keys_app.command("import")
def import_(
    entry_id: _Id,
    *,
    venue: _Venue,
    keystore: _KeystorePath = _KEYSTORE,
    passphrase_fd: _PassphraseFd = None,
    secret_fd: _SecretFd = None,
    as_json: _Json = False,
) -> None:
    """Seal an agent key that you already have.

    Only import keys of agents, never the key of a main wallet: whoever holds that can withdraw.
    The key is asked for without being shown, as 64 hex digits.
    """
    _check_venue(venue)
    opened = _open_or_create(keystore, passphrase_fd)
    text = (
        secret_input.prompt("Key (64 hex digits, not shown)")
        if secret_fd is None
        else secret_input.read_descriptor(secret_fd, "--secret-fd")
    )
    secret = secret_input.decode_key(text)
    _print_added(opened.add_imported(entry_id, venue, secret), keystore, as_json=as_json)


@keys_app.command("list")
def list_(*, keystore: _KeystorePath = _KEYSTORE, as_json: _Json = False) -> None:
    """Show ids, venues and addresses. No passphrase needed, no key is opened."""
    entries = list_entries(keystore)
    shown = {"keystore": str(keystore), "entries": [_public(entry) for entry in entries]}
    emit(shown, as_json=as_json, show=lambda: _table(entries))


def _check_venue(venue: str) -> None:
    if venue not in _VENUES:
        raise ConfigError(f"--venue: expected one of {', '.join(_VENUES)}, found {venue!r}")


def _open_or_create(path: Path, passphrase_fd: int | None) -> Keystore:
    is_new = not path.exists()
    if not is_new:
        list_entries(path)  # a file that cannot be used is refused before anything is asked
    if passphrase_fd is not None:
        passphrase = secret_input.read_descriptor(passphrase_fd, "--passphrase-fd")
    elif is_new:
        passphrase = _ask_twice(path)
    else:
        passphrase = secret_input.prompt(f"Passphrase of {path}")
    return Keystore.create(path, passphrase) if is_new else Keystore.open(path, passphrase)


def _ask_twice(path: Path) -> bytearray:
    first = secret_input.prompt(f"New passphrase for {path}")
    again = secret_input.prompt("The same again")
    is_same = first == again
    secret_input.wipe(again)
    if not is_same:
        secret_input.wipe(first)
        raise ConfigError("passphrase: expected the same twice, found two different ones")
    return first


def _public(entry: KeystoreEntry) -> dict[str, str | None]:
    return {
        "id": entry.id,
        "venue": entry.venue,
        "kind": entry.kind,
        "address": entry.address,
        "created": entry.created,
        "rotated": entry.rotated,
    }


def _print_added(entry: KeystoreEntry, path: Path, *, as_json: bool) -> None:
    emit(
        {**_public(entry), "keystore": str(path)},
        as_json=as_json,
        show=lambda: (
            f"{entry.id}: {entry.address}\n"
            f"Sealed in {path}. Keep the passphrase: without it the key is lost.\n"
            f"Next: approve this address as an agent (API wallet) on {entry.venue}, "
            "allowed to trade perpetuals, not to withdraw."
        ),
    )


def _table(entries: tuple[KeystoreEntry, ...]) -> Table:
    table = Table("id", "venue", "kind", "address", "created")
    for entry in entries:
        table.add_row(entry.id, entry.venue, entry.kind, entry.address, entry.created)
    return table
