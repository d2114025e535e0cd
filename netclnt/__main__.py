"""``netclnt`` and ``python -m netclnt``."""

from __future__ import annotations

import signal
import sys
from importlib import import_module


def main() -> int:
    """The process: until a command runs and once it has ended, an interrupt simply ends it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return int(import_module("netclnt.cli.main").main())


if __name__ == "__main__":
    sys.exit(main())
