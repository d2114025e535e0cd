"""The composition root: opens the edges and views that options and config ask for, and imports only those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from netclnt.cli.output import Output
from netclnt.cli.parser import Globals
from netclnt.cli.show import Column, Record, TextView, View

if TYPE_CHECKING:
    from netclnt.cli.meter import Meter
    from netclnt.cli.show import Bar


def open_view(options: Globals, output: Output, *, run_id: str, environment: Mapping[str, str]) -> View:
    """The view that the options and the two streams ask for."""
    if options.json:
        from netclnt.cli.show_json import JsonView

        return JsonView(output, run_id=run_id)
    terminal = _Terminal.of(options, output, environment)
    return TextView(output, terminal, quiet=options.quiet, verbose=options.verbose)


@dataclass(frozen=True, slots=True)
class _Terminal:
    """What the two streams can show; ``colors`` are those of standard output and standard error."""

    tables: bool
    bars: bool
    lines: bool
    colors: tuple[bool, bool]

    @classmethod
    def of(cls, options: Globals, output: Output, environment: Mapping[str, str]) -> _Terminal:
        dumb = environment.get("TERM") == "dumb"
        out, err = (stream.isatty() and not dumb for stream in (output.stdout, output.stderr))
        plain = options.color == "never" or (options.color == "auto" and bool(environment.get("NO_COLOR")))
        forced = options.color == "always"
        return cls(
            tables=out or forced,
            bars=err and options.progress != "never",
            lines=not err and options.progress == "always",
            colors=((out or forced) and not plain, err and not plain),
        )

    def print_table(self, stream: TextIO, columns: Sequence[Column], records: Iterable[Record]) -> None:
        from netclnt.cli.show_rich import print_table

        print_table(stream, columns, records, color=self.colors[0])

    def open_bar(self, stream: TextIO, meter: Meter) -> Bar:
        from netclnt.cli.show_rich import ProgressBar

        return ProgressBar(stream, meter, color=self.colors[1])
