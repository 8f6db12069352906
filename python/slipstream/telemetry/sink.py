"""A process that accepts connections and throws away what comes: the venue of a floor.

Run as ``python -m slipstream.telemetry.sink``. Prints its port in one line, then reads until its
standard input ends. Imports nothing of Slipstream, so that it starts at once.
"""

import resource
import selectors
import socket
import sys
from typing import Final

_BACKLOG: Final = 4_096
_READ_SIZE: Final = 65_536


def serve() -> None:
    """Read and forget until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    buffer = bytearray(_READ_SIZE)
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        listener.settimeout(0)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    _accept(listener, selector)
                elif isinstance(key.fileobj, socket.socket) and not key.fileobj.recv_into(buffer):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def _accept(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.settimeout(0)
        selector.register(connection, selectors.EVENT_READ)


if __name__ == "__main__":
    serve()
