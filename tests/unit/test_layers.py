"""Imports point down only: words < rules < edges < work < face (design, sections 5 and 6).

Each module of the package has its place in :data:`LAYERS`. A package counts as one part: its modules may import each other.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "netclnt"

LAYERS = {
    "words": ["errors", "outcome", "model", "naming", "events", "protocols", "machine"],
    "rules": [
        *("chunking", "manifest", "locations", "pack", "frames", "layout", "settled", "tree", "rows", "head", "checking"),
        *("selection", "diff", "plan", "schedule", "workers", "trust", "config", "pacing", "allowance", "pagedeltas", "subset"),
        *("backoff", "callthread", "child", "slot", "pulse", "timing", "agenda", "units", "namekeys", "guessing"),
    ],
    "edges": ["catalog", "ledger", "store", "blockindex", "files", "sftp", "memory", "notify", "ping", "host", "programs"],
    "work": [
        *("notes", "storedmanifest", "damage", "dedup", "intake", "predecessor", "filling", "ingest"),
        *("unfinished", "heal", "master", "publish"),
        *("kept", "trash", "marks", "moves", "survey", "gc", "storedframes", "deltacheck", "checkstore"),
        *("recover", "offering", "offerhistory"),
        *("localmanifests", "remote", "seeds", "seeding", "planning", "bases", "plainstage", "front", "assemble", "bring"),
        *("bringtoc", "storecatalog"),
        *("slave", "look", "rebuild", "offer", "room", "places", "relocate"),
        *("costs", "budget", "oneimage", "result", "carry", "appraise", "sync", "verify", "prune"),
        *("hooks", "imagehooks"),
        *("doctor", "service"),
    ],
    "face": ["cli", "__main__"],
}

DIRECT_EDGES = {
    "blockindex": "sorted files of netclnt's own making, which have no other implementation",
    "ledger": "one implementation on SQLite, in memory for tests; it is still handed in, open",
}
"""Edges that the work layer may import by name instead of taking them as arguments, and why."""

LATE_IMPORTS = {
    "cli.surroundings": "loads what surrounds a run only where config or environment ask for it",
    "cli.edges": "composition: opens the edges that options and config ask for, and loads only those",
    "cli.hooked": "loads what calls hooks only where the config has any",
    "cli.run": "loads what prints a traceback only for a bug",
    "cli.settings": "loads what runs a command only where one gives the password",
    "cli.commands.show": "loads the machinery of an update only where its cost is asked for",
    "cli.mending": "loads what replaces a damaged ledger only when there is one",
    "guessing": "loads what compares words only for a word that nobody knows",
    "manifest": "loads zstd only where a page is packed or unpacked",
    "files.staging": "loads what starts another process only where one digests",
    "files.stagedfiles": "loads a pool of threads only for a tree of many files",
    "ledger.database": "loads what copies files only where a ledger is played back in a copy",
    "offer": "loads what recognizes images only after the ledger was lost",
    "sync": "loads the machinery of an update only when there is a change, and that of hooks only where there are any",
    "storecatalog": "loads the machinery that brings a TOC only when there is a new one",
    "sftp": "opens the transport that the config names, without loading the other",
}
"""Modules that may import inside a function, and why."""

HEAVY = {
    "paramiko": {"sftp.paramiko", "sftp.packets"},
    "cryptography": {"sftp.paramiko", "sftp.packets", "cli.sshkey"},
    "pyodbc": {"catalog.odbc"},
    "rich": {"cli.show_rich"},
    "prometheus_client": {"cli.metrics"},
}
"""Libraries that cost start-up time, and the only modules that name them."""

RANK = {part: rank for rank, parts in enumerate(LAYERS.values()) for part in parts}
LAYER_OF = {part: layer for layer, parts in LAYERS.items() for part in parts}


@dataclass(frozen=True)
class Import:
    """``module`` (dotted, without ``netclnt.``) imports ``target`` (in full) on ``line``."""

    module: str
    target: str
    line: int
    late: bool

    def __str__(self) -> str:
        return f"netclnt.{self.module}:{self.line} imports {self.target}"

    @property
    def own(self) -> str | None:
        """The imported module of this package, without ``netclnt.``; None for foreign ones."""
        head, _, rest = self.target.partition(".")
        return rest if head == "netclnt" else None


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    return module.partition(".")[0]


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def targets(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.level == 0, f"netclnt.{module}:{node.lineno}: write imports of the package in full"
    for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        yield whole if whole.removeprefix("netclnt.") in MODULES else str(node.module)


def imports(module: str) -> Iterator[Import]:
    tree = ast.parse(MODULES[module].read_text())
    late = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node, module):
                yield Import(module, target, node.lineno, node in late)


IMPORTS = [found for module in MODULES for found in imports(module)]
OWN = [(found, found.own) for found in IMPORTS if found.own and part_of(found.own) in RANK and part_of(found.module) in RANK]


def test_each_module_has_a_layer() -> None:
    homeless = sorted({part_of(module) for module in MODULES if module} - RANK.keys())
    assert not homeless, f"say in LAYERS of {Path(__file__).name} where these belong: {homeless}"


def test_imports_point_down() -> None:
    wrong = [
        f"{found}: {LAYER_OF[part_of(found.module)]} may not import {LAYER_OF[part_of(own)]}"
        for found, own in OWN
        if RANK[part_of(own)] > RANK[part_of(found.module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_edges_do_not_know_each_other() -> None:
    wrong = [
        str(found)
        for found, own in OWN
        if LAYER_OF[part_of(own)] == LAYER_OF[part_of(found.module)] == "edges" and part_of(own) != part_of(found.module)
    ]
    assert not wrong, "\n".join(wrong)


def test_work_takes_its_edges_as_arguments() -> None:
    wrong = [
        str(found)
        for found, own in OWN
        if LAYER_OF[part_of(found.module)] == "work" and LAYER_OF[part_of(own)] == "edges" and part_of(own) not in DIRECT_EDGES
    ]
    assert not wrong, "\n".join(wrong)


def test_no_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found, own in OWN:
        if own != found.module:
            graph[found.module].add(own)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' → '.join(error.args[1])}")


def test_no_imports_inside_functions() -> None:
    wrong = [str(found) for found in IMPORTS if found.late and found.module not in LATE_IMPORTS]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_where_they_are_wrapped(library: str) -> None:
    wrong = [str(found) for found in IMPORTS if part_of(found.target) == library and found.module not in HEAVY[library]]
    assert not wrong, "\n".join(wrong)


def test_help_loads_no_heavy_library() -> None:
    program = "import sys; from netclnt.cli.main import main; main(['--help']); print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert "netclnt.cli.main" in loaded
    assert not HEAVY.keys() & set(loaded)


def test_what_guesses_names_is_loaded_for_unknown_ones_alone() -> None:
    program = "import sys, netclnt.cli.main, netclnt.cli.commands.sync; print('difflib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_each_module_is_about_something() -> None:
    vague = [module for module in MODULES if module.rpartition(".")[2] in {"utils", "util", "helpers", "common", "misc"}]
    assert not vague
