"""What plain TCP connections carry on a line: the measure for everything else there."""

from __future__ import annotations

import socket
import time
from threading import Thread

from tests.support.namespaces import Line

_BUFFER = 1 << 20


def carry(line: Line, count: int, *, connections: int = 1) -> float:
    """Carry ``count`` bytes from the master's end to the slave's; returns the seconds from the first SYN to the last byte."""
    with line.master.entered():
        listener = socket.create_server((line.master.address, 0), backlog=connections)
    with listener:
        port = listener.getsockname()[1]
        shares = [count // connections] * connections
        threads = [Thread(target=_send, args=(listener, share)) for share in shares]
        threads += [Thread(target=_receive, args=(line, port)) for _ in shares]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - started


def _send(listener: socket.socket, count: int) -> None:
    connection, _ = listener.accept()
    data = memoryview(bytes(_BUFFER))
    with connection:
        while count:
            count -= connection.send(data[:count])


def _receive(line: Line, port: int) -> None:
    with line.slave.entered():
        connection = socket.create_connection((line.master.address, port))
    room = bytearray(_BUFFER)
    with connection:
        while connection.recv_into(room):
            pass
