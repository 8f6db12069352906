"""The daemon of a drill: the production daemon, which kills itself where it was told to.

``python -m slipstream.drill.daemon CONFIG`` reads one line of JSON from standard input,
``{"passphrase": T, "point": T or null, "hit": N, "absent_after_ms": N, "lookup_lag_ms": N}``, and
runs until SIGTERM or the end of standard input. At the ``hit``-th time it comes to ``point`` it
ends as in a power cut: SIGKILL, nothing flushed. Each change of state is a line on standard
output.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from slipstream.config.keystore import Keystore
from slipstream.config.load import load_config
from slipstream.runtime.daemon import harden, run_daemon
from slipstream.runtime.points import AtPoint, pass_by
from slipstream.runtime.wiring import Options
from slipstream.units import NS_PER_MS

STATUS_UNSOUND: Final = 1
STDIN: Final = 0
READ_LENGTH: Final = 4096


class Instructions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a drill tells its daemon."""

    passphrase: str
    absent_after_ms: int
    lookup_lag_ms: int
    point: str | None = None
    hit: int = 1


def killer(point: str, hit: int) -> AtPoint:
    """Return what ends this process at the ``hit``-th time it comes to a point."""
    left = hit

    def at_point(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return at_point


def _first_line() -> bytes:
    """Read up to a line's end, past Python's buffers: the rest is read on a thread."""
    line = b""
    while not line.endswith(b"\n") and (part := os.read(STDIN, READ_LENGTH)):
        line += part
    return line


def _end_with_input() -> None:
    """End in order when standard input ends: nobody is left who could."""
    while os.read(STDIN, READ_LENGTH):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the daemon; return its exit status: 0 when it ended in order with nothing open."""
    instructions = msgspec.json.decode(_first_line(), type=Instructions)
    config = load_config(Path(sys.argv[1]))
    harden()
    keystore = Keystore.open(
        Path(config.engine.keystore), bytearray(instructions.passphrase.encode())
    )
    threading.Thread(target=_end_with_input, daemon=True).start()
    point = instructions.point
    options = Options(
        at_point=pass_by if point is None else killer(point, instructions.hit),
        absent_after_ns=instructions.absent_after_ms * NS_PER_MS,
        lookup_lag_ns=instructions.lookup_lag_ms * NS_PER_MS,
    )
    result = uvloop.run(run_daemon(config, keystore, tell=_say, options=options))
    return 0 if result.is_sound else STATUS_UNSOUND


if __name__ == "__main__":
    sys.exit(main())
