"""What a supervisor is told: sd_notify(3)'s datagrams, sent without its library. Where nobody listens, nothing is sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import CLOCK_MONOTONIC, clock_gettime_ns

_TEXT_MAX = 500


class Notifier:
    """Tells systemd, or whoever made the socket that NOTIFY_SOCKET names. Any method from any thread; none raises, none waits: a
    supervisor that does not take a message goes without.

    ``watchdog_seconds``: how often at the least it wants to hear :meth:`watchdog`, or None. Half as long is a good interval.
    """

    def __init__(self, address: str, *, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        # the protocol knows other families (vsock) for virtual machines' own managers, which start no netclnt
        if address.startswith(("/", "@")):
            try:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            except OSError:
                return

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Notifier:
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say."""
        address = environment.get("NOTIFY_SOCKET", "")
        return cls(address, watchdog_seconds=_watchdog_seconds(environment) if address else None)

    @property
    def listened(self) -> bool:
        """Whether there is anybody to tell."""
        return self._socket is not None

    def ready(self) -> None:
        """Start-up, or a reload, is complete."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for people, as ``systemctl status`` shows it."""
        line = "".join(one if one.isprintable() else "?" for one in text)
        self._send(f"STATUS={line[:_TEXT_MAX]}")

    def reloading(self) -> None:
        """The config is being read again; :meth:`ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Nothing is sent any more. Idempotent."""
        held, self._socket = self._socket, None
        if held:
            held.close()

    def _send(self, message: str) -> None:
        held = self._socket
        if held is None:
            return
        try:
            held.sendto(message.encode(errors="backslashreplace"), self._address)
        except (OSError, ValueError):  # ValueError: a NUL in the address
            return


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3): None also where the watchdog is another process's."""
    interval, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (interval.isascii() and interval.isdigit() and len(interval) < 20) or int(interval) == 0:
        return None
    return int(interval) / 1_000_000 if pid in ("", str(os.getpid())) else None
