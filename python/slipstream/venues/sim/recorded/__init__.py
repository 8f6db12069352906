"""A small recorded slice that ships with the package, for the demo and the simulator.

``l2book.jsonl.gz`` holds recorded top-20 ladders, ``leader_fills.jsonl`` the fills of
one recorded account; ``NOTICE`` names their source and licence.
"""

import gzip
from importlib import resources
from typing import Any, Final

import orjson

from slipstream.venues.sim.amounts import parse_raw
from slipstream.venues.sim.market import Frame

NOTICE_NAME: Final = "NOTICE"
FILLS_NAME: Final = "leader_fills.jsonl"
FRAMES_NAME: Final = "l2book.jsonl.gz"


def _read(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


def notice() -> str:
    """Return where the slice comes from and under which licence."""
    return _read(NOTICE_NAME).decode()


def leader_fills() -> list[dict[str, Any]]:
    """Return the recorded fills, oldest first, in the recording venue's own format."""
    return [orjson.loads(line) for line in _read(FILLS_NAME).splitlines()]


def leader_fills_bytes() -> bytes:
    """Return the recorded fills as the JSON lines they were recorded in."""
    return _read(FILLS_NAME)


def symbol_of_coin(coin: str) -> str:
    """Return the simulated symbol of a recorded coin (``xyz:CL`` is ``CLUSDT``)."""
    return coin.rpartition(":")[2] + "USDT"


def ladders() -> dict[str, list[Frame]]:
    """Return the recorded ladders by symbol, as raw (px, qty) rows, best first."""
    frames: dict[str, list[Frame]] = {}
    for line in gzip.decompress(_read(FRAMES_NAME)).splitlines():
        row = orjson.loads(line)["data"]
        bids, asks = (
            [(parse_raw(level["px"]), parse_raw(level["sz"])) for level in half]
            for half in row["levels"]
        )
        frames.setdefault(symbol_of_coin(row["coin"]), []).append((bids, asks))
    return frames
