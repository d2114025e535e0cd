#!/usr/bin/env python3
"""What a fleet asks of its master in one night, as a table: ``fleet-sizing.py --help``.

Arithmetic only; docs/many-slaves.md has the formulas. Megabytes and megabits are millions.
"""

from __future__ import annotations

import argparse
import math
import sys

HEADINGS = ("slaves", "GB in all", "random_delay", "starts/s", "logins at once", "transfers at once", "Mbit/s if 30 min")
DELAY_MIN = 30 * 60
"""Seconds; what `netclnt service install` writes where the config says nothing."""
UPLINK_USE = 0.8
"""How much of the uplink is for images."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a fleet asks of its master in one night.")
    parser.add_argument("--megabytes", type=float, default=300, help="what one slave fetches (default: %(default)s)")
    parser.add_argument("--line", type=float, default=10, help="Mbit/s that one slave can take (default: %(default)s)")
    parser.add_argument("--uplink", type=float, default=1000, help="Mbit/s that the master can give (default: %(default)s)")
    parser.add_argument("--login", type=float, default=1, help="seconds from connect to login (default: %(default)s)")
    parser.add_argument("slaves", type=int, nargs="*", default=[10, 100, 800, 3000], help="how many slaves")
    return parser.parse_args()


def row(slaves: int, fleet: argparse.Namespace) -> tuple[str, ...]:
    megabits = slaves * fleet.megabytes * 8
    delay = max(DELAY_MIN, math.ceil(megabits / (fleet.uplink * UPLINK_USE) / 300) * 300)
    starts = slaves / delay
    transfer = fleet.megabytes * 8 / fleet.line
    return (
        f"{slaves}",
        f"{slaves * fleet.megabytes / 1000:g}",
        f"{delay // 60}m",
        f"{starts:.2f}",
        f"{starts * fleet.login:.1f}",
        f"{min(slaves, math.ceil(starts * transfer))}",
        f"{megabits / DELAY_MIN:.0f}",
    )


def main() -> None:
    fleet = options()
    table = [HEADINGS, *(row(slaves, fleet) for slaves in fleet.slaves)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        sys.stdout.write("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + "\n")


if __name__ == "__main__":
    main()
