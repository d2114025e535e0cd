"""The composition root: opens the edges and views that options and config ask for, and imports only those."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from netclnt.cli.output import Output
from netclnt.cli.parser import Globals
from netclnt.cli.show import Column, Record, TextView, View
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.protocols import Catalog, Content

if TYPE_CHECKING:
    from netclnt.cli.meter import Meter
    from netclnt.cli.show import Bar
    from netclnt.files.source import LocalContent
    from netclnt.ledger import Ledger
    from netclnt.publish import Master

LEDGER = "ledger.sqlite"
TOC = "toc.sqlite"


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


@contextmanager
def open_master(config: MasterConfig, *, password: str | None, holder: str) -> Iterator[Master]:
    """A master's parts, closed at the end. The catalog need not exist yet."""
    from netclnt.catalog import open_catalog
    from netclnt.catalog.toc import update_toc
    from netclnt.files.source import open_content
    from netclnt.publish import Master
    from netclnt.store import DirectoryStore

    with ExitStack() as stack:
        catalog = stack.enter_context(closing(open_catalog(config.catalog, password=password)))

        def toc(generation: int) -> Content:
            path = config.state / TOC
            update_toc(path, catalog, generation)
            return stack.enter_context(open_content(path))

        yield Master(
            catalog=catalog,
            store=DirectoryStore(config.store),
            toc=toc,
            state=config.state,
            level=config.level,
            threads=threads(config.threads),
            holder=holder,
        )


@contextmanager
def open_catalog(conn: str, *, password: str | None) -> Iterator[Catalog]:
    from netclnt.catalog import open_catalog

    with closing(open_catalog(conn, password=password)) as catalog:
        yield catalog


def open_ledger(config: SlaveConfig, *, readonly: bool = False) -> Ledger:
    """The slave's ledger; the caller closes it."""
    from netclnt.ledger import Ledger

    return Ledger(config.state / LEDGER, readonly=readonly)


def open_content(path: Path) -> LocalContent:
    """What is to be published; the caller closes it."""
    from netclnt.files.source import open_content

    return open_content(path)


def mark_root(config: SlaveConfig, *, anew: bool) -> None:
    """Put the marker into the root, and remember it; ``anew`` for a root that takes another one's place."""
    from netclnt.files.root import open_root

    with open_ledger(config) as ledger:
        known = None if anew else ledger.marker()
        with open_root(config.root, marker=known) as root:
            if root.marker and root.marker != known:
                ledger.set_marker(root.marker)


def threads(wanted: int) -> int:
    """A number of threads; 0 means one for each core that this process may use."""
    return wanted or len(os.sched_getaffinity(0))


def sqlite_file(conn: str) -> Path | None:
    """The file of a SQLite catalog."""
    return Path(conn.removeprefix("sqlite:")) if conn.startswith("sqlite:") else None
