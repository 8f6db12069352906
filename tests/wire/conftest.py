"""Starting a simulated venue as a process, and public clients that talk to it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import ccxt
import pytest
from eth_account import Account

# Throw-away keys of the tests: any 32 bytes will do.
LEADER_KEY = "0x" + "11" * 32
FOLLOWER_KEY = "0x" + "22" * 32


class SimProcess:
    """A running simulated venue and its admin side."""

    def __init__(self, *arguments: str) -> None:
        """Start the process and wait for its ready line."""
        command = [sys.executable, "-m", "slipstream.venues.sim", "--json", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self.process.stdout is None:
            raise RuntimeError("the simulated venue has no standard output")
        self.ready = json.loads(self.process.stdout.readline())
        self.rest = self.ready["venues"]["aster"]["rest"]
        self.ws = self.ready["venues"]["aster"]["ws"]

    def admin(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer of an admin route; a refusal comes back as its JSON."""
        encoded = None if body is None else json.dumps(body).encode()
        url = self.ready["admin"] + path
        request = urllib.request.Request(url, data=encoded, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                content = error.read()
        if path.startswith("/_sim/log"):
            return [json.loads(line) for line in content.splitlines()]
        return json.loads(content)

    def add_account(self, key: str, **fields: object) -> str:
        """Register a key's address as an account that is its own agent."""
        address = str(Account.from_key(key).address)
        body = {"venue": "aster", "account": address, "agent": address, "balance": "100000"}
        self.admin("POST", "/_sim/accounts", {**body, **fields})
        return address

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return the log lines of one kind."""
        return [line for line in self.admin("GET", "/_sim/log") if line["kind"] == kind]

    def stop(self) -> tuple[int, str]:
        """End the process by closing its standard input; return status and errors."""
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors.decode()


SimStarter = Callable[..., SimProcess]


@pytest.fixture
def start_sim() -> Iterator[SimStarter]:
    """Start simulated venues that end with the test, cleanly or the test fails."""
    started: list[SimProcess] = []

    def start(*arguments: str) -> SimProcess:
        started.append(SimProcess(*arguments))
        return started[-1]

    yield start
    for sim in started:
        status, errors = sim.stop()
        assert (status, errors) == (0, "")


@pytest.fixture
def sim(start_sim: SimStarter) -> SimProcess:
    """A venue with default settings."""
    return start_sim()


@pytest.fixture
def connect() -> Iterator[Callable[[SimProcess, str], ccxt.aster]]:
    """Make ccxt clients, unmodified apart from the base addresses."""
    clients: list[ccxt.aster] = []

    def make(sim: SimProcess, key: str) -> ccxt.aster:
        client = ccxt.aster(
            {
                "privateKey": key,
                "walletAddress": Account.from_key(key).address,
                "enableRateLimit": False,
                # ccxt would add its own builder and fee to each order.
                "options": {"builderFee": False, "defaultType": "swap"},
            }
        )
        for name in client.urls["api"]:
            tail = "/fapi" if name.startswith("fapi") else "/api"
            client.urls["api"][name] = sim.rest + tail
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.session.close()
