"""A simulated venue and a daemon as processes of their own, and what a person does with them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import httpx

from slipstream._core import keccak256
from slipstream.config.keystore import Keystore

PASSPHRASE = b"only for tests"
SYMBOL = "BTCUSDT"
PX = "60000"
WAIT_S = 20.0


def account_of(name: str) -> str:
    """Return a made-up main account."""
    return "0x" + keccak256(name.encode())[-20:].hex()


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what another process will show."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"not in {WAIT_S:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class Venue:
    """The simulated venue and its admin routes."""

    rest: str
    ws: str
    admin: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def tell(self, route: str, body: object) -> Any:  # noqa: ANN401 - the route decides
        """Post to an admin route."""
        answer = self.client.post(f"{self.admin}/_sim/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add_account(self, name: str, agent: str, **extra: object) -> None:
        """Open an account with an approved agent."""
        row = {"venue": "aster", "account": account_of(name), "agent": agent}
        self.tell("accounts", {**row, "balance": "20000", "leverage": 10, **extra})

    def trade(self, name: str, side: str, qty: str, px: str = PX) -> None:
        """Let an account trade at a price."""
        self.tell(
            "trade",
            {"account": account_of(name), "symbol": SYMBOL, "side": side, "fills": [[px, qty]]},
        )

    def position(self, name: str) -> Decimal:
        """Return an account's position as the venue holds it."""
        rows = self.client.get(f"{self.admin}/_sim/accounts").json()
        row = next(row for row in rows if row["account"] == account_of(name))
        return sum((Decimal(each["qty"]) for each in row["positions"]), Decimal(0))


@contextmanager
def simulated_venue() -> Iterator[Venue]:
    """Run a simulated Aster with a deep, still market."""
    command = [sys.executable, "-m", "slipstream.venues.sim", "--venues", "aster", "--json"]
    with subprocess.Popen(
        [*command, "--weight-factor", "10"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        urls = ready["venues"]["aster"]
        venue = Venue(urls["rest"], urls["ws"], ready["admin"])
        venue.tell(
            "market",
            {"symbol": SYMBOL, "px": PX, "level_notional": "50000000", "walk_ppm": 0},
        )
        yield venue
        venue.client.close()
        process.stdin.close()
        process.wait(timeout=10)


@dataclass
class Setting:
    """One keystore and one configuration file in a directory of their own."""

    path: Path
    venue: Venue
    followers: tuple[str, ...] = ("alice", "bob")
    agents: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.path / "slipstream.toml"

    @property
    def socket(self) -> Path:
        """The daemon's control socket."""
        return self.path / "control" / "c.sock"

    @classmethod
    def make(cls, path: Path, venue: Venue, **accounts: dict[str, object]) -> Self:
        """Make keys, accounts and the configuration; ``accounts``: extras by name."""
        made = cls(path, venue)
        keystore = Keystore.create(path / "test.keys", bytearray(PASSPHRASE))
        names = ["whale", *made.followers]
        for name, entry in zip(names, keystore.add_many_new(names, "aster"), strict=True):
            made.agents[name] = entry.address
            venue.add_account(name, entry.address, **accounts.get(name, {}))
        made.config.write_text(made.text())
        return made

    def text(self, *, mirror: str = "") -> str:
        """Return the configuration."""
        lines = [
            "[engine]",
            f'database = "sqlite:///{self.path}/test.db"',
            f'keystore = "{self.path}/test.keys"',
            f'control_socket = "{self.socket}"',
            "[venue.aster]",
            f'rest = "{self.venue.rest}"',
            f'ws = "{self.venue.ws}"',
            "[[leader]]",
            'id = "whale"',
            'venue = "aster"',
            f'account = "{account_of("whale")}"',
            'key = "whale"',
        ]
        for name in self.followers:
            lines += [
                "[[follower]]",
                f'id = "{name}"',
                'venue = "aster"',
                f'account = "{account_of(name)}"',
                f'key = "{name}"',
                'mode = "live"',
                "[[follower.mirror]]",
                'leader = "whale"',
                'mode = "ratio"',
                'ratio = "0.1"',
                'symbols = { allow = ["BTC"] }',
                mirror,
            ]
        return "\n".join(lines) + "\n"

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start ``slipstream`` with the passphrase on a descriptor."""
        read_end, write_end = os.pipe()
        os.write(write_end, PASSPHRASE + b"\n")
        os.close(write_end)
        try:
            return subprocess.Popen(
                [
                    sys.executable, "-m", "slipstream", *words,
                    str(self.config), "--passphrase-fd", str(read_end), "--json",
                ],
                pass_fds=(read_end,),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        finally:
            os.close(read_end)

    @contextmanager
    def daemon(self) -> Iterator["Daemon"]:
        """Run the daemon until it is live, and end it."""
        process = self.command("run")
        daemon = Daemon(self, process)
        try:
            until(lambda: daemon.is_live() or process.poll() is not None, "a live daemon")
            assert process.poll() is None, process.communicate()
            yield daemon
        finally:
            daemon.stop()


@dataclass
class Daemon:
    """A running daemon."""

    setting: Setting
    process: subprocess.Popen[str]
    said: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    def control(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Give a control command; return its status and reply."""
        done = subprocess.run(
            [
                sys.executable, "-m", "slipstream", *words,
                "--socket", str(self.setting.socket), "--json",
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    def is_live(self) -> bool:
        """Whether the leader's stream is up and every follower is ready."""
        code, reply = self.control("status")
        return (
            code == 0
            and all(each["live"] for each in reply["leaders"])
            and all(each["ready"] and each["stream"] for each in reply["followers"])
        )

    def stop(self) -> None:
        """End it as an operator would; keep what it said."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            out, said = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, said = self.process.communicate()
        if out:
            self.result = json.loads(out.splitlines()[-1])
        self.said += said

    def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        self.process.kill()
        self.process.communicate()
