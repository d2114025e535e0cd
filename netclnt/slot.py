"""Each machine's own moment inside a spread of time, so that a fleet that starts at one hour does not arrive at one second.

As systemd's FixedRandomDelay=: always the same for one machine, so that the time between two runs stays what the schedule says,
and nobody waits longer one night than the night before.
"""

from __future__ import annotations

import hashlib

_PURPOSE = b"netclnt slot"


def slot(machine_id: str, name: str, spread: float) -> float:
    """Seconds to wait, at least 0 and less than ``spread``; over many machines they are spread evenly.

    Stable over releases: SHA-256 of ``netclnt slot``, the machine's id and the server's name with a NUL before each of the two,
    its first 48 bits as a fraction of the spread. The name parts machines that were cloned with their id, or have none.
    """
    digest = hashlib.sha256(b"\0".join((_PURPOSE, machine_id.encode(), name.encode()))).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48) * spread
