"""What carries SFTP: one byte stream to a server's sftp subsystem, and the clock that ends it when it stands still."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from netclnt.model import Bytes

WHAT = "store"
"""How errors name the other end of this edge."""

CLOSED = "the connection was closed"
"""The cause told to whoever still uses what this side closed."""

EXPIRED = re.compile(r".*(?:required to change your password|password (?:change required|(?:has|is) expired)).*", re.IGNORECASE)
"""A line by which a server tells that it lets an account in for nothing but a new password: PAM's words, and OpenSSH's."""


class Transport(Protocol):
    """A byte stream to an sftp subsystem. One thread sends and receives; :meth:`close` may come from any other."""

    def open(self) -> None:
        """Connect and log in. Raises Unreachable, AuthError's classes, IdentityFileUnusable, Incompatible."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises LineBroken."""

    def receive(self) -> Sequence[Bytes]:
        """Wait for what comes next, at least one byte, in one or more pieces that nobody changes any more.

        Raises LineBroken at the end of the stream; a transport that learns only now that it could not connect or log
        in raises what :meth:`open` would have."""

    def close(self) -> None:
        """End the connection, and any call under way in another thread. Idempotent."""


class Watchdog:
    """Calls ``expire`` once, from a thread of its own, when the clock ran for ``seconds`` without :meth:`progress`."""

    def __init__(self, seconds: float, expire: Callable[[], None]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._since: float | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.expired = False

    def watch(self) -> None:
        """Let the clock run, from now unless it does already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sftp-watchdog", daemon=True)
            self._thread.start()
        if self._since is None:
            self._since = time.monotonic()

    def progress(self) -> None:
        """Set the clock back to zero."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """Halt the clock: nobody waits for the other end."""
        self._since = None

    def stop(self) -> None:
        """End the thread. Idempotent, from any thread."""
        self._stopped.set()

    def _run(self) -> None:
        # Looks at the clock now and then, so that progress costs no lock; at most an eighth too late.
        pause = self._seconds / 8
        while not self._stopped.wait(pause):
            since = self._since
            if since is None:
                pause = self._seconds / 8
                continue
            left = since + self._seconds - time.monotonic()
            if left <= 0:
                self.expired = True
                self._expire()
                return
            pause = min(left, self._seconds / 8)
