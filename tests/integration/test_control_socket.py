"""The operator's socket: its owner's alone, one reply per line, whatever is sent."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from slipstream import cli
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import ConfigError
from slipstream.runtime.control import (
    ControlAction,
    ControlCommand,
    ControlError,
    ControlReply,
    ControlServer,
    Switches,
    command_of,
    send_command,
)
from slipstream.store.sqlite import SqliteStore

A = ControlAction


class Desk:
    """A handler that remembers what it was asked."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.seen: list[ControlCommand] = []

    async def carry_out(self, command: ControlCommand) -> ControlReply:
        self.seen.append(command)
        if command.action is A.FREEZE:
            raise ControlError("no follower 'x'")
        rows = [{"id": "alice", "gates": ["FOLLOWER_PAUSED"], "up": True}]
        return ControlReply(ok=True, message="done", payload={"n": 1, "followers": rows})


def is_there(path: Path) -> bool:
    return os.path.lexists(path)


def set_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "control" / "control.sock"


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest_asyncio.fixture
async def server(place: Path, desk: Desk) -> AsyncIterator[ControlServer]:
    made = ControlServer(place, desk.carry_out)
    await made.start()
    yield made
    await made.close()


async def spoken(place: Path, *lines: bytes) -> list[dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(str(place))
    replies = []
    for line in lines:
        writer.write(line + b"\n")
        replies.append(json.loads(await reader.readline()))
    writer.close()
    await writer.wait_closed()
    return replies


@pytest.mark.usefixtures("server")
async def test_an_order_arrives_and_is_answered(place: Path, desk: Desk) -> None:
    wanted = ControlCommand(A.PAUSE, FollowerId("alice"), LeaderId("whale"), "BTCUSDT")
    reply = await asyncio.to_thread(send_command, place, wanted)
    assert (reply.ok, reply.message, reply.payload["n"]) == (True, "done", 1)
    everything = ControlCommand(A.KILL, is_all=True)
    await asyncio.to_thread(send_command, place, everything)
    assert desk.seen == [wanted, everything]


@pytest.mark.usefixtures("server")
async def test_the_socket_is_its_owners_alone(place: Path) -> None:
    assert stat.S_IMODE(os.lstat(place).st_mode) == 0o600
    assert stat.S_IMODE(os.lstat(place.parent).st_mode) == 0o700


@pytest.mark.usefixtures("server")
async def test_nonsense_is_answered_and_the_next_line_still_works(place: Path, desk: Desk) -> None:
    nonsense = [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 30_000,
        b'{"action": "sell_everything"}',
        b'{"action": "pause", "folower": "alice"}',
        b'{"action": "pause", "follower": 7}',
        b'{"action": "pause", "follower": ""}',
        b'{"action": "kill", "all": "yes"}',
        b'{"action": ["pause"]}',
        b'{"action": "freeze"}',
    ]
    replies = await spoken(place, *nonsense, b'{"action": "status"}')
    assert [reply["ok"] for reply in replies] == [False] * len(nonsense) + [True]
    assert all(reply["message"] for reply in replies)
    assert [each.action for each in desk.seen] == [A.FREEZE, A.STATUS]


@pytest.mark.usefixtures("server")
async def test_an_endless_line_ends_that_connection_only(place: Path) -> None:
    (reply,) = await spoken(place, b"x" * 100_000)
    assert reply["ok"] is False
    assert (await spoken(place, b'{"action": "status"}'))[0]["ok"] is True


async def test_closing_removes_the_socket(place: Path, server: ControlServer) -> None:
    await server.close()
    assert not is_there(place)
    with pytest.raises(ControlError, match="no daemon listens"):
        await asyncio.to_thread(send_command, place, ControlCommand(A.STATUS))


async def test_a_daemon_that_is_gone_leaves_no_obstacle(place: Path, desk: Desk) -> None:
    place.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(place))
    server = ControlServer(place, desk.carry_out)
    await server.start()
    assert (await spoken(place, b'{"action": "status"}'))[0]["ok"] is True
    await server.close()


@pytest.mark.usefixtures("server")
async def test_a_second_daemon_is_refused(place: Path, desk: Desk) -> None:
    with pytest.raises(ConfigError, match="another daemon listens"):
        await ControlServer(place, desk.carry_out).start()
    assert (await spoken(place, b'{"action": "status"}'))[0]["ok"] is True


async def test_an_unsafe_place_is_refused(tmp_path: Path, desk: Desk) -> None:
    set_mode(tmp_path, 0o777)
    with pytest.raises(ConfigError, match="nobody else"):
        await ControlServer(tmp_path / "c.sock", desk.carry_out).start()
    set_mode(tmp_path, 0o700)
    with pytest.raises(ConfigError, match="up to 107 bytes"):
        await ControlServer(tmp_path / ("c" * 120), desk.carry_out).start()
    here = tmp_path / "precious"
    with here.open("w"):
        pass
    with pytest.raises(ConfigError, match="found a file"):
        await ControlServer(here, desk.carry_out).start()
    assert is_there(here)


@pytest.mark.usefixtures("server")
async def test_the_command_line_speaks_to_it(
    place: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*words: str) -> int:
        return await asyncio.to_thread(cli.run, [*words, "--socket", str(place)])

    assert await run("close-only", "--follower", "alice", "--json") == 0
    assert json.loads(capsys.readouterr().out)["message"] == "done"
    assert await run("status") == 0
    assert "FOLLOWER_PAUSED" in capsys.readouterr().out
    assert await run("freeze") == 1
    assert await run("flatten") == 2
    assert await run("kill", "--all", "--symbol", "BTCUSDT") == 2
    assert [each.action for each in desk.seen] == [A.CLOSE_ONLY, A.STATUS, A.FREEZE]


def test_without_a_daemon_the_command_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["pause", "--socket", str(place)]) == 1
    assert "no daemon listens" in capsys.readouterr().err
    assert cli.run(["pause", "--folower", "x"]) == 2


async def test_switches_outlive_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    alice, bob = FollowerId("alice"), FollowerId("bob")
    orders = [
        ControlCommand(A.PAUSE),
        ControlCommand(A.CLOSE_ONLY, alice),
        ControlCommand(A.FREEZE, bob, symbol="BTCUSDT"),
        ControlCommand(A.RESUME, bob),
        ControlCommand(A.KILL, is_all=True),
        ControlCommand(A.UNFREEZE),
    ]
    store = await SqliteStore.open(url)
    for order in orders:
        await store.save_control(order.row(1))
    await store.close()
    store = await SqliteStore.open(url)
    switches = Switches(command_of(row) for row in await store.controls())
    await store.close()
    assert switches.active(follower=alice, symbol="X") == {A.PAUSE, A.KILL, A.CLOSE_ONLY}
    assert switches.active(follower=bob, symbol="BTCUSDT") == {A.PAUSE, A.KILL}
    switches.apply(ControlCommand(A.RESUME))
    assert switches.listed() == []
