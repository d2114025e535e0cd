"""Plays events through a view, as a run would tell them: one a line of a FIFO, as a JSON array of a class's name and its fields.

``python -m tests.support.player FIFO [FLAG]...``; flags are ``--progress WHEN``, ``--color WHEN``, ``--line-seconds N``.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from netclnt import events
from netclnt.cli import edges, show, signals
from netclnt.cli.output import standard
from netclnt.cli.parser import Globals
from netclnt.errors import ExitCode, NoSuchImage


def play(path: Path, view: show.View) -> None:
    with signals.handled(view.status, str, view.aside), path.open() as fifo:
        for line in fifo:
            name, *values = json.loads(line)
            if name == "Failed":
                values[1] = NoSuchImage(values[1])
            view.observe(getattr(events, name)(*values))
    view.ended(ExitCode.OK)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("fifo", type=Path)
    parser.add_argument("--progress", default="auto")
    parser.add_argument("--color", default="auto")
    parser.add_argument("--line-seconds", type=float, default=5.0)
    words = parser.parse_args()
    show._LINE_SECONDS = words.line_seconds
    options = Globals(progress=words.progress, color=words.color)
    play(words.fifo, edges.open_view(options, standard(), run_id="0" * 16, environment=os.environ))
    print("played")


if __name__ == "__main__":
    main()
